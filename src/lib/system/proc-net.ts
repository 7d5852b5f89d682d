import { parseAddress } from './address.ts'

/** `  12: 0100007F:1F91 0100007F:8492 01 0000002E:00000000 …`: local end, remote end, state, bytes not acknowledged. */
const ROW = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]+:[0-9A-F]{4}) [0-9A-F]{2} ((?!0{8})[0-9A-F]{8}):/gm
const MAPPED = /^0{16}FFFF0000(?=[0-9A-F]{8}:)/
const WORD_BYTES = 4

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')

/** The kernel writes words of four bytes, each in the byte order of the processor, which is little-endian. */
function wordsOf(bytes: readonly number[]): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += WORD_BYTES)
    for (const byte of bytes.slice(at, at + WORD_BYTES).reverse()) text += hex(byte, 2)
  return text
}

/** Names one end of a TCP connection as `/proc/net/tcp` does: `0100007F:1F91`. Empty when `address` is no IP address. */
export function endName(address: string, port: number): string {
  const parsed = parseAddress(address)
  if (parsed === undefined) return ''
  const { family, parts } = parsed
  const bytes = family === 'ipv4' ? parts : parts.flatMap(group => [group >> 8, group & 0xff])
  return `${wordsOf(bytes)}:${hex(port, 4)}`
}

/** Bytes that the other ends of `localPort` have not acknowledged, by name; ends that owe nothing are absent. */
export function sendQueuesIn(table: string, localPort: number): [end: string, bytes: number][] {
  const port = hex(localPort, 4)
  const queues: [string, number][] = []
  for (const [, local, end = '', bytes = ''] of table.matchAll(ROW))
    if (local === port) queues.push([end.replace(MAPPED, ''), Number.parseInt(bytes, 16)])
  return queues
}
