const BEARER = 'Bearer '

interface Sources {
  readonly query: URLSearchParams
  readonly authorization: string | null
  /** `Sec-WebSocket-Protocol`; null where it is no source. */
  readonly protocols: string | null
}

interface Presented {
  /** Undefined when no source has one. */
  readonly token?: string
  /** To be selected in the answer: the token came beside it. */
  readonly subprotocol?: 'bearer'
}

/** The token of the first source that is present (contract §2.2): an empty one is present, and invalid. */
export function tokenOf({ query, authorization, protocols }: Sources): Presented {
  const asked = query.get('token')
  if (asked !== null) return { token: asked }
  if (authorization?.startsWith(BEARER)) return { token: authorization.slice(BEARER.length) }
  const [scheme, token] = protocols?.split(',').map(part => part.trim()) ?? []
  return scheme === 'bearer' && token !== undefined ? { token, subprotocol: 'bearer' } : {}
}
