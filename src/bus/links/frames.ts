/**
 * One record of a link. `hello`: the instance that speaks, first of all. `join`, `leave`: a topic of it. `sync`: asks for an `ack`
 * with this number, when all before is done. `left`, `took`: see fences.ts. `bye`: it publishes no more.
 */
export const KINDS = {
  hello: 'h',
  join: 'j',
  leave: 'l',
  sync: 's',
  ack: 'a',
  message: 'm',
  left: 'f',
  took: 't',
  bye: 'b',
} as const

export type RecordKind = keyof typeof KINDS

const KIND_OF = new Map<string, RecordKind>(
  Object.entries(KINDS).map(([kind, letter]) => [letter, kind as RecordKind]),
)

/** Bytes of the length before each frame. */
const HEAD_BYTES = 4
/** Bound of one frame, which holds the records of one turn; more bytes than that are no frame. */
export const MAX_FRAME_BYTES = 256 * 1024 * 1024

/** `m<length of the topic> <length of the text>`, a line break, and both. Lengths count UTF-16 units. */
export const recordOf = (kind: RecordKind, topic: string, text = ''): string =>
  `${KINDS[kind]}${topic.length} ${text.length}\n${topic}${text}`

/** Bytes of a frame: its length, and the records. */
export function frameOf(records: string): Buffer {
  const length = Buffer.byteLength(records)
  const frame = Buffer.allocUnsafe(HEAD_BYTES + length)
  frame.writeUInt32LE(length)
  frame.write(records, HEAD_BYTES)
  return frame
}

const broken = (): Error => new Error('expected records of a worker')

/** Reads a length up to the given character; throws unless it is a number. */
function lengthIn(text: string, from: number, end: number): number {
  const length = end > from ? Number(text.slice(from, end)) : Number.NaN
  if (!Number.isSafeInteger(length) || length < 0) throw broken()
  return length
}

/** Passes the records of a frame on, in order. Throws at the first that is none. */
export function readRecords(
  records: string,
  use: (kind: RecordKind, topic: string, text: string) => void,
): void {
  for (let at = 0; at < records.length; ) {
    const kind = KIND_OF.get(records.charAt(at))
    const space = records.indexOf(' ', at)
    const line = records.indexOf('\n', at)
    if (kind === undefined || space === -1 || line < space) throw broken()
    const afterTopic = line + 1 + lengthIn(records, at + 1, space)
    const end = afterTopic + lengthIn(records, space + 1, line)
    if (end > records.length) throw broken()
    use(kind, records.slice(line + 1, afterTopic), records.slice(afterTopic, end))
    at = end
  }
}

/** Puts frames together from the chunks of a socket. Throws when they are no frames. */
export function createFrameReader(onFrame: (records: string) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = []
  let size = 0
  /** Bytes of the frame that has begun, as far as known. */
  let wanted = HEAD_BYTES

  return chunk => {
    size += chunk.length
    if (size < wanted) {
      parts.push(Buffer.from(chunk))
      return
    }
    const bytes = parts.length === 0 ? chunk : Buffer.concat([...parts, chunk])
    let at = 0
    for (;;) {
      wanted = HEAD_BYTES
      if (size - at < wanted) break
      const length = bytes.readUInt32LE(at)
      if (length > MAX_FRAME_BYTES) throw broken()
      wanted = HEAD_BYTES + length
      if (size - at < wanted) break
      onFrame(bytes.toString('utf8', at + HEAD_BYTES, at + wanted))
      at += wanted
    }
    size -= at
    parts = size === 0 ? [] : [Buffer.from(bytes.subarray(at))]
  }
}
