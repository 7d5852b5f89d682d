import type { Redis } from 'ioredis'

/** Runs the work for everything that arrived at once. */
export type InOneGo = (work: () => void) => void

/** RESP2 (redis.io/docs/latest/develop/reference/protocol-spec) and a place in it. */
interface Cursor {
  readonly bytes: Buffer
  /** Past the end: the reply has at least so many bytes. */
  at: number
}

const CR = 0x0d
const BULK = 0x24
const ARRAY = 0x2a
const MINUS = 0x2d
const ZERO = 0x30

/** Beginnings of the replies that carry a message. */
const MESSAGE = Buffer.from('*3\r\n$7\r\nmessage\r\n')
const PATTERN_MESSAGE = Buffer.from('*4\r\n$8\r\npmessage\r\n')

const isComplete = ({ bytes, at }: Cursor): boolean => at <= bytes.length

function skipPastEnd(cursor: Cursor): void {
  cursor.at = Math.max(cursor.at, cursor.bytes.length + 1)
}

function skipLine(cursor: Cursor): void {
  const end = cursor.bytes.indexOf(CR, cursor.at)
  if (end < 0) skipPastEnd(cursor)
  else cursor.at = end + 2
}

/** Reads the number after the type and skips the line. */
function readNumber(cursor: Cursor): number {
  const { bytes } = cursor
  let number = 0
  for (let at = cursor.at + 1; at < bytes.length; at++) {
    const byte = bytes[at] ?? CR
    if (byte === CR) {
      cursor.at = at + 2
      return number
    }
    number = byte === MINUS ? Number.NEGATIVE_INFINITY : number * 10 + byte - ZERO
  }
  skipPastEnd(cursor)
  return 0
}

/** Skips a string and returns its start. */
function skipString(cursor: Cursor): number {
  const length = readNumber(cursor)
  const start = cursor.at
  if (length >= 0 && isComplete(cursor)) cursor.at += length + 2
  return start
}

function skipReply(cursor: Cursor): void {
  const type = cursor.bytes[cursor.at]
  if (type === BULK) skipString(cursor)
  else if (type !== ARRAY) skipLine(cursor)
  else for (let left = readNumber(cursor); left > 0 && isComplete(cursor); left--) skipReply(cursor)
}

function skipHead(cursor: Cursor, head: Buffer): boolean {
  const { bytes, at } = cursor
  for (let n = 0; n < head.length; n++) if (bytes[at + n] !== head[n]) return false
  cursor.at += head.length
  return true
}

/**
 * Takes the messages of a connection out of its replies and emits them as `messageBuffer`, those of patterns too. ioredis
 * reads the rest: its own reading of a message takes a tenth of all work for one. Call it while no reply is due.
 */
export function takeMessages(client: Pick<Redis, 'stream' | 'emit'>, inOneGo: InOneGo): void {
  const { stream } = client
  const readers = stream.listeners('data')
  let parts: Buffer[] = []
  let size = 0
  /** Bytes that the incomplete reply has at least. */
  let needed = 0

  /** Throws the error of a listener later, as ioredis does: the next messages are not to blame. */
  const emit = (channel: Buffer, message: Buffer): void => {
    try {
      client.emit('messageBuffer', channel, message)
    } catch (error) {
      process.nextTick(() => {
        throw error
      })
    }
  }

  /** Reads one reply and returns its end. */
  const read = (bytes: Buffer, start: number): number => {
    const cursor: Cursor = { bytes, at: start }
    const isPattern = skipHead(cursor, PATTERN_MESSAGE)
    if (isPattern) skipString(cursor)
    if (isPattern || skipHead(cursor, MESSAGE)) {
      const channel = skipString(cursor)
      const channelEnd = cursor.at - 2
      const message = skipString(cursor)
      if (isComplete(cursor))
        emit(bytes.subarray(channel, channelEnd), bytes.subarray(message, cursor.at - 2))
      return cursor.at
    }
    skipReply(cursor)
    if (isComplete(cursor)) for (const reader of readers) reader(bytes.subarray(start, cursor.at))
    return cursor.at
  }

  const readAll = (bytes: Buffer): void => {
    let start = 0
    let end = 0
    while (start < bytes.length) {
      end = read(bytes, start)
      if (end > bytes.length) break
      start = end
    }
    size = bytes.length - start
    parts = size === 0 ? [] : [bytes.subarray(start)]
    needed = end - start
  }

  stream.removeAllListeners('data')
  stream.on('data', (chunk: Buffer) => {
    parts.push(chunk)
    size += chunk.length
    if (size < needed) return
    const bytes = parts.length === 1 ? chunk : Buffer.concat(parts)
    inOneGo(() => readAll(bytes))
  })
}
