/** What k6 and Bun each do in their own way. */
export interface Primitives {
  /** Of the text's UTF-8 bytes, without padding. */
  base64url(text: string): string
  /** HMAC-SHA256 of the text, in base64url without padding. */
  hmac(secret: string, text: string): string
  /** What `base64url` undoes. */
  decode(text: string): string
}

export interface Claims {
  readonly sub: string
  /** Seconds since 1970. */
  readonly exp: number
}

/** A HS256 token (RFC 7515). */
export function signToken(claims: Claims, secret: string, { base64url, hmac }: Primitives): string {
  const signed = [{ alg: 'HS256', typ: 'JWT' }, claims].map(part => base64url(JSON.stringify(part))).join('.')
  return `${signed}.${hmac(secret, signed)}`
}

/** Whose token it is: notifications go to that user. Throws for anything that is no token. */
export function subjectOf(token: string, { decode }: Pick<Primitives, 'decode'>): string {
  const claims: unknown = JSON.parse(decode(token.split('.')[1] ?? ''))
  if (typeof claims === 'object' && claims !== null && 'sub' in claims && typeof claims.sub === 'string')
    return claims.sub
  throw new Error('JWT_TOKEN: expected a token with a subject')
}
