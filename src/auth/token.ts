/** Where a request may carry its token; a header that is not there is null. */
interface TokenPlaces {
  readonly query: URLSearchParams
  readonly authorization: string | null
  /** `Sec-WebSocket-Protocol`; null everywhere but on /ws. */
  readonly protocols: string | null
}

export interface TokenFound {
  /** Absent when the request carries none; the empty string is present and invalid. */
  readonly token?: string
  /** To be selected in the answer to the upgrade: the token came with it. */
  readonly subprotocol?: 'bearer'
  /** More than one in the query: the caller answers 400. */
  readonly repeated?: true
}

/** In any case, and one blank or more (RFC 9110 §11.1). */
const BEARER = /^bearer +(.*)$/is

/** What follows the scheme `Bearer`; undefined for another scheme or none. */
export const bearerIn = (authorization: string | null): string | undefined =>
  BEARER.exec(authorization ?? '')?.[1]

/** The token of a request from the first place that has one: query, `Authorization`, subprotocol. */
export function tokenOf({ query, authorization, protocols }: TokenPlaces): TokenFound {
  const [token, ...more] = query.getAll('token')
  if (more.length > 0) return { repeated: true }
  if (token !== undefined) return { token }
  const bearer = bearerIn(authorization)
  if (bearer !== undefined) return { token: bearer }
  const [scheme, offered, ...others] = protocols?.split(',').map(item => item.trim()) ?? []
  if (scheme !== 'bearer' || offered === undefined || others.length > 0) return {}
  return { token: offered, subprotocol: 'bearer' }
}
