import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Family = 'ipv4' | 'ipv6'

/** An IP address; one of IPv4 that is written as IPv6 (`::ffff:10.0.0.1`) is of IPv4. */
export interface Address {
  readonly family: Family
  readonly text: string
  /** Of IPv6 its eight groups; of IPv4 its four bytes. */
  readonly parts: readonly number[]
}

/** All addresses that begin with the first `bits` of this one. */
export interface AddressRange {
  readonly family: Family
  readonly text: string
  readonly bits: number
}

const BITS = { ipv4: 32, ipv6: 128 } as const
const MAPPED_BITS = 96
const RANGE = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/

/** Undefined for text that is no address. A zone (`%eth0`) is left out. */
export function parseAddress(text: string): Address | undefined {
  // The parser alone also takes short, octal and hexadecimal forms.
  if (isIP(text) === 0) return undefined
  const address = ipaddr.process(text.replace(/%.*$/, ''))
  const family = address.kind()
  return { family, text: address.toString(), parts: 'parts' in address ? address.parts : address.octets }
}

/** An address, or one with a prefix length (RFC 4632, RFC 4291 §2.3): `10.0.0.0/8`. Undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  const [, base = '', prefix] = RANGE.exec(text) ?? []
  const address = parseAddress(base)
  if (address === undefined) return undefined
  const written = isIP(base) === 4 ? 'ipv4' : 'ipv6'
  const bits = prefix === undefined ? BITS[written] : Number(prefix)
  if (bits > BITS[written]) return undefined
  const { family, text: plain } = address
  if (family === written) return { family, text: plain, bits }
  return bits < MAPPED_BITS ? undefined : { family, text: plain, bits: bits - MAPPED_BITS }
}
