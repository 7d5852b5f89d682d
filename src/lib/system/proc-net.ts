import { parseAddress } from './address.ts'

/** Matches `  12: 0100007F:1F91 0100007F:8492 01 0000002E:00000000 …`: local, remote, state, unacknowledged bytes. */
const ROW = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+:[0-9A-F]{4}) [0-9A-F]{2} ((?!0{8})[0-9A-F]{8}):/gm
const MAPPED = /^0{16}FFFF0000(?=[0-9A-F]{8}:)/
const WORD_BYTES = 4

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')

/** Kernel format: words of four bytes in the little-endian order of the processor. */
function wordsOf(bytes: readonly number[]): string {
  const ordered: number[] = []
  for (let at = 0; at < bytes.length; at += WORD_BYTES)
    ordered.push(...bytes.slice(at, at + WORD_BYTES).reverse())
  return Buffer.from(ordered).toString('hex').toUpperCase()
}

/** Names an end of a TCP connection like `/proc/net/tcp`: `0100007F:1F91`. Empty if `address` is not an IP address. */
export function endName(address: string, port: number): string {
  const parsed = parseAddress(address)
  if (parsed === undefined) return ''
  const { family, parts } = parsed
  const bytes = family === 'ipv4' ? parts : parts.flatMap(group => [group >> 8, group & 0xff])
  // Unlike a template, `join` makes a string without parts: each stream keeps one.
  return [wordsOf(bytes), hex(port, 4)].join(':')
}

/** Bytes not acknowledged by the remote ends of `localPort`, by name; ends without any are absent. */
export function sendQueuesIn(table: string, localPort: number): [end: string, bytes: number][] {
  const port = hex(localPort, 4)
  const queues: [string, number][] = []
  for (const [, local, end = '', bytes = ''] of table.matchAll(ROW))
    if (local === port) queues.push([end.replace(MAPPED, ''), Number.parseInt(bytes, 16)])
  return queues
}
