import { type Address, type AddressRange, matcherOf, parseAddress } from '../lib/system/address.ts'

/** What stands for the client of a request where limits count by address; never fails. */
export type AddressOf = (request: Request) => string

interface AddressOptions {
  /** Whose `X-Forwarded-For` is believed. */
  readonly trusted: readonly AddressRange[]
  /** The other end of the request's connection; undefined once that is gone. */
  readonly peerOf: (request: Request) => string | undefined
}

const UNKNOWN = 'unknown'
/** As some proxies write it: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
const WITH_PORT = /^(?:\[([^\]]+)\](?::\d+)?|([^:]+):\d+)$/
/** Proxies behind each other that are looked through. */
const MAX_HOPS = 32
/** Of IPv6: a customer is given a /64 at least (RFC 6177), and may use any address in it. */
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
 * The client of a request: the peer, or when that is a trusted proxy the rightmost entry of `X-Forwarded-For` that is not
 * one. Entries left of it are the client's own words. What is no address ends the search at the proxy that passed it on, so that
 * nobody gets a bucket of his own by writing nonsense.
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
