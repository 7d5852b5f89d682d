import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Family = 'ipv4' | 'ipv6'

/** An IP address; one of IPv4 that is written as IPv6 (`::ffff:10.0.0.1`) is of IPv4. */
export interface Address {
  readonly family: Family
  readonly text: string
  /** The eight groups of IPv6, the four bytes of IPv4. */
  readonly parts: readonly number[]
  readonly parsed: ipaddr.IPv4 | ipaddr.IPv6
}

/** All addresses that begin with the first `bits` of this one. */
export interface AddressRange {
  readonly base: Address
  readonly bits: number
}

const BITS = { ipv4: 32, ipv6: 128 } as const
const MAPPED_BITS = 96
const RANGE = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/

/** Undefined for text that is no address. A zone (`%eth0`) is left out. */
export function parseAddress(text: string): Address | undefined {
  // The parser alone also takes short, octal and hexadecimal forms.
  if (isIP(text) === 0) return undefined
  const parsed = ipaddr.process(text.replace(/%.*$/, ''))
  const parts = 'parts' in parsed ? parsed.parts : parsed.octets
  return { family: parsed.kind(), text: parsed.toString(), parts, parsed }
}

/** An address, or one with a prefix length (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`. Undefined for anything else. */
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

/** Tells whether one of the ranges holds an address; a range of IPv6 never holds an address of IPv4. */
export function matcherOf(ranges: readonly AddressRange[]): (address: Address) => boolean {
  const inside = ranges.map(({ base, bits }): [ipaddr.IPv4 | ipaddr.IPv6, number] => [base.parsed, bits])
  return ({ parsed }) => ipaddr.subnetMatch(parsed, { inside }, 'outside') === 'inside'
}
