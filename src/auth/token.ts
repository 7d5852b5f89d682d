import type { Query } from '../lib/query.ts'

/** Parts of a request that may carry its token; null for an absent header. */
interface TokenPlaces {
  readonly query: Query
  readonly authorization: string | null
  /** `Sec-WebSocket-Protocol`; null except on `/ws`. */
  readonly protocols: string | null
}

export interface TokenResult {
  /** Absent if the request has no token. The empty string is an invalid token. */
  readonly token?: string
  /** Present if the subprotocol carried the token: the upgrade must select it. */
  readonly subprotocol?: 'bearer'
  /** True if the query has several tokens, which must be answered with 400. */
  readonly repeated?: true
}

/** Case-insensitive scheme and one or more blanks (RFC 9110 §11.1). */
const BEARER = /^bearer +(.*)$/is

/** The token after the scheme `Bearer`; undefined for another scheme or none. */
export const bearerIn = (authorization: string | null): string | undefined =>
  BEARER.exec(authorization ?? '')?.[1]

/** Finds the token of a request: in the query, `Authorization`, then the subprotocol. */
export function tokenOf({ query, authorization, protocols }: TokenPlaces): TokenResult {
  const [token, ...more] = query.getAll('token')
  if (more.length > 0) return { repeated: true }
  if (token !== undefined) return { token }
  const bearer = bearerIn(authorization)
  if (bearer !== undefined) return { token: bearer }
  const [scheme, offered, ...others] = protocols?.split(',').map(item => item.trim()) ?? []
  if (scheme !== 'bearer' || offered === undefined || others.length > 0) return {}
  return { token: offered, subprotocol: 'bearer' }
}
