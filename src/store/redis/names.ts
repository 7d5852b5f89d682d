const NAME_BYTES = 6
const NAME_LENGTH = 8
const NAMES_AT_ONCE = 256

/** Makes random names for lives and epochs: eight characters of [A-Za-z0-9_-]. Draws many at once, which costs less. */
export function createNames(): () => string {
  let names = ''
  return () => {
    if (names === '')
      names = Buffer.from(crypto.getRandomValues(new Uint8Array(NAME_BYTES * NAMES_AT_ONCE))).toString(
        'base64url',
      )
    const name = names.slice(0, NAME_LENGTH)
    names = names.slice(NAME_LENGTH)
    return name
  }
}
