/** Functions that differ between k6 and Bun. */
export interface Primitives {
  /** Encodes the UTF-8 bytes of the text in base64url, without padding. */
  base64url(text: string): string
  /** Computes HMAC-SHA256 of the text, in base64url without padding. */
  hmac(secret: string, text: string): string
  /** Decodes base64url. */
  decode(text: string): string
}

export interface Claims {
  readonly sub: string
  /** Seconds since 1970. */
  readonly exp: number
}

/** Signs an HS256 token (RFC 7515). */
export function signToken(claims: Claims, secret: string, { base64url, hmac }: Primitives): string {
  const signed = [{ alg: 'HS256', typ: 'JWT' }, claims].map(part => base64url(JSON.stringify(part))).join('.')
  return `${signed}.${hmac(secret, signed)}`
}

/** Reads the user of a token, who receives the notifications. Throws for any other text. */
export function subjectOf(token: string, { decode }: Pick<Primitives, 'decode'>): string {
  const claims: unknown = JSON.parse(decode(token.split('.')[1] ?? ''))
  if (typeof claims === 'object' && claims !== null && 'sub' in claims && typeof claims.sub === 'string')
    return claims.sub
  throw new Error('JWT_TOKEN: expected a token with a subject')
}
