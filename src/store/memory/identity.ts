/** Value of each ASCII character as a hexadecimal digit in lower case; 16 for all others. */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code))
  return value < 0 ? 16 : value
})
const INVALID = 16
const UUID_LENGTH = 36
const WORDS = 4
const DASH = '-'.charCodeAt(0)

/** Positions of the dashes in a UUID. */
const isDashAt = (at: number): boolean => at === 8 || at === 13 || at === 18 || at === 23

/** The 128 bits that stand for a notification id: its own bits if it is a UUID, else the first ones of its SHA-256. */
export class Identity {
  readonly #digest = new Uint8Array(32)
  /** Changed by `read`. */
  readonly words = new Int32Array(this.#digest.buffer, 0, WORDS)
  hash = 0
  #id = ''

  read(id: string): void {
    // Drafts of one notification follow each other.
    if (id === this.#id) return
    this.#id = id
    if (!this.#readUuid(id)) Bun.SHA256.hash(id, this.#digest)
    this.hash = hashOf(word => this.words[word] ?? 0)
  }

  #readUuid(id: string): boolean {
    if (id.length !== UUID_LENGTH) return false
    let digits = 0
    let word = 0
    for (let at = 0; at < UUID_LENGTH; at++) {
      const code = id.charCodeAt(at)
      if (isDashAt(at)) {
        if (code !== DASH) return false
        continue
      }
      const digit = DIGITS[code] ?? INVALID
      if (digit === INVALID) return false
      word = (word << 4) | digit
      if ((++digits & 7) === 0) this.words[digits / 8 - 1] = word
    }
    return true
  }
}

/** Mixes 32 bits into a hash, as MurmurHash3 does. */
export function mix(hash: number, bits: number): number {
  let mixed = Math.imul(hash ^ bits, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}

/** 32 bits that depend on all words of an identity. */
export function hashOf(wordAt: (word: number) => number): number {
  let hash = 0
  for (let word = 0; word < WORDS; word++) hash = mix(hash, wordAt(word))
  return hash
}
