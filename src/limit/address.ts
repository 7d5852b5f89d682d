import { type Address, type AddressRange, matcherOf, parseAddress } from '../lib/system/address.ts'

/** Gives the address of a client, by which limits count. Never throws. */
export type AddressOf = (request: Request) => string

interface AddressOptions {
  /** Proxies whose `X-Forwarded-For` is trusted. */
  readonly trusted: readonly AddressRange[]
  /** Remote address of the request's connection; undefined after it closed. */
  readonly peerOf: (request: Request) => string | undefined
}

const UNKNOWN = 'unknown'
/** Matches addresses with a port, as some proxies write them: `[2001:db8::1]:4711`. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/
/** Longest chain of proxies that is followed. */
const MAX_HOPS = 32
/** IPv6 groups that count: a customer controls at least a whole /64 (RFC 6177). */
const NETWORK_GROUPS = 4

function entryOf(text: string): Address | undefined {
  const [, bracketed, plain] = WITH_PORT.exec(text) ?? []
  return parseAddress(bracketed ?? plain ?? text)
}

const nameOf = ({ family, text, parts }: Address): string =>
  family === 'ipv4'
    ? text
    : `${parts
        .slice(0, NETWORK_GROUPS)
        .map(group => group.toString(16))
        .join(':')}::/64`

/**
 * Finds the client: the peer, or behind trusted proxies the rightmost untrusted entry of `X-Forwarded-For`. Clients control
 * the entries left of it. An invalid entry ends the search: invented entries must give no own bucket.
 */
export function createAddressOf({ trusted, peerOf }: AddressOptions): AddressOf {
  const isTrusted = matcherOf(trusted)

  return request => {
    const peer = parseAddress(peerOf(request) ?? '')
    if (peer === undefined) return UNKNOWN
    if (!isTrusted(peer)) return nameOf(peer)
    let client = peer
    const entries = (request.headers.get('x-forwarded-for') ?? '').split(',').slice(-MAX_HOPS)
    for (const entry of entries.reverse()) {
      const hop = entryOf(entry.trim())
      client = hop ?? client
      if (hop === undefined || !isTrusted(hop)) break
    }
    return nameOf(client)
  }
}
