import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Family = 'ipv4' | 'ipv6'

/** IP address; an IPv4 address in IPv6 form (`::ffff:10.0.0.1`) counts as IPv4. */
export interface Address {
  readonly family: Family
  readonly text: string
  /** Eight groups of IPv6, or four bytes of IPv4. */
  readonly parts: readonly number[]
  readonly parsed: ipaddr.IPv4 | ipaddr.IPv6
}

/** Range of all addresses that share the first `bits` of this one. */
export interface AddressRange {
  readonly base: Address
  readonly bits: number
}

const BITS = { ipv4: 32, ipv6: 128 } as const
const MAPPED_BITS = 96
const RANGE = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/

/** Parses an address and drops its zone (`%eth0`); undefined for any other text. */
export function parseAddress(text: string): Address | undefined {
  // The parser would also accept short, octal and hexadecimal forms.
  if (isIP(text) === 0) return undefined
  const parsed = ipaddr.process(text.replace(/%.*$/, ''))
  const parts = 'parts' in parsed ? parsed.parts : parsed.octets
  return { family: parsed.kind(), text: parsed.toString(), parts, parsed }
}

/** Parses an address or a prefix (RFC 4632, RFC 4291 §2.3) such as `10.0.0.0/8`; undefined for other text. */
export function parseRange(text: string): AddressRange | undefined {
  const [, base = '', prefix] = RANGE.exec(text) ?? []
  const address = parseAddress(base)
  if (address === undefined) return undefined
  const written = isIP(base) === 4 ? 'ipv4' : 'ipv6'
  const bits = prefix === undefined ? BITS[written] : Number(prefix)
  if (bits > BITS[written]) return undefined
  if (address.family === written) return { base: address, bits }
  return bits < MAPPED_BITS ? undefined : { base: address, bits: bits - MAPPED_BITS }
}

/** Tells whether a range contains the address; an IPv6 range never contains an IPv4 address. */
export function matcherOf(ranges: readonly AddressRange[]): (address: Address) => boolean {
  const inside = ranges.map(({ base, bits }): [ipaddr.IPv4 | ipaddr.IPv6, number] => [base.parsed, bits])
  return ({ parsed }) => ipaddr.subnetMatch(parsed, { inside }, 'outside') === 'inside'
}
