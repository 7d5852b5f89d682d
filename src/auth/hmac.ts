import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'

/** Secrets for one algorithm: HS256, HS384 or HS512. */
export interface HmacKeys {
  readonly hash: string
  readonly keys: readonly KeyObject[]
}

export const hmacKeys = (algorithm: string, secrets: readonly string[]): HmacKeys => ({
  hash: `sha${algorithm.slice(2)}`,
  keys: secrets.map(secret => createSecretKey(Buffer.from(secret))),
})

/**
 * The payload if one secret made the signature (RFC 7515 §5.2, RFC 7518 §3.2). `token` must have three canonical base64url
 * parts. Synchronous: frames that a client sends together with its upgrade would be lost otherwise.
 */
export function payloadByHmac(token: string, { hash, keys }: HmacKeys): Uint8Array | undefined {
  const end = token.lastIndexOf('.')
  const signed = token.slice(0, end)
  const given = Buffer.from(token.slice(end + 1), 'base64url')
  for (const key of keys) {
    const made = createHmac(hash, key).update(signed).digest()
    // The signature length is no secret: the hash determines it.
    if (made.length === given.length && timingSafeEqual(made, given))
      return Buffer.from(signed.slice(signed.indexOf('.') + 1), 'base64url')
  }
  return undefined
}
