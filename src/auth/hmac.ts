import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'

/** Secrets for one of HS256, HS384 and HS512. */
export interface HmacKeys {
  readonly hash: string
  readonly keys: readonly KeyObject[]
}

export const hmacKeys = (algorithm: string, secrets: readonly string[]): HmacKeys => ({
  hash: `sha${algorithm.slice(2)}`,
  keys: secrets.map(secret => createSecretKey(Buffer.from(secret))),
})

/**
 * The payload when one of the secrets made the signature (RFC 7515 §5.2, RFC 7518 §3.2). `token` has three canonical base64url
 * parts. In one turn: a client that sends frames together with its upgrade would lose them else.
 */
export function payloadByHmac(token: string, { hash, keys }: HmacKeys): Uint8Array | undefined {
  const [head = '', payload = '', signature = ''] = token.split('.')
  const given = Buffer.from(signature, 'base64url')
  for (const key of keys) {
    const made = createHmac(hash, key).update(`${head}.${payload}`).digest()
    // The length of a signature is no secret: it is that of the hash.
    if (made.length === given.length && timingSafeEqual(made, given)) return Buffer.from(payload, 'base64url')
  }
  return undefined
}
