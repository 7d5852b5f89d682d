/** WebSocket frames (RFC 6455 §5.2) of a client, and the chunks of SSE. */
export const TEXT = 1
export const PING = 9
export const PONG = 10

const LINE_FEED = 10
const CARRIAGE_RETURN = 13

interface Found {
  readonly opcode: number
  readonly payload: Buffer
  /** Start of the next frame. */
  readonly end: number
}

const sizeOf = (length: number): readonly number[] =>
  length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255]

/** A frame of up to 65,535 bytes, masked with zeros. */
export const frameOf = (opcode: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x80 | opcode, ...sizeOf(payload.length), 0, 0, 0, 0]), payload])

/** Reads the first frame; undefined if incomplete. Servers do not mask. */
export function firstFrame(bytes: Buffer): Found | undefined {
  if (bytes.length < 2) return undefined
  const short = bytes.readUInt8(1)
  const head = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < head) return undefined
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const end = head + length
  if (bytes.length < end) return undefined
  return { opcode: bytes.readUInt8(0) & 15, payload: bytes.subarray(head, end), end }
}

/** First event of a stream, as text. */
export function firstEvent(bytes: Buffer): Found | undefined {
  const end = bytes.indexOf('\n\n')
  return end < 0 ? undefined : { opcode: TEXT, payload: bytes.subarray(0, end), end: end + 2 }
}

/** Position of a connection in a chunked body (RFC 9112 §7.1). */
export interface Chunks {
  left: number
  inData: boolean
}

/** Removes the chunk framing. */
export function dechunk(chunks: Chunks, bytes: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    if (chunks.inData) {
      const some = Math.min(chunks.left, bytes.length - at)
      parts.push(bytes.subarray(at, at + some))
      at += some
      chunks.left -= some
      chunks.inData = chunks.left > 0
      continue
    }
    const byte = bytes[at++] ?? 0
    if (byte === LINE_FEED) chunks.inData = chunks.left > 0
    else if (byte !== CARRIAGE_RETURN)
      chunks.left = chunks.left * 16 + Number.parseInt(String.fromCharCode(byte), 16)
  }
  const [only, ...others] = parts
  return only !== undefined && others.length === 0 ? only : Buffer.concat(parts)
}
