import { connect, type Socket } from 'node:net'
import type { Message } from './client.ts'
import { createInbox, type Inbox } from './inbox.ts'

/** Frame from the server; `opcode` 1 text, 8 close, 9 ping. */
export interface RawFrame {
  readonly opcode: number
  readonly payload: Buffer
}

/** WebSocket client under full control of the test: reading, pongs, stalls and resets. */
export interface RawClient extends Disposable {
  readonly frames: Inbox<RawFrame>
  /** Text frames, parsed. */
  readonly messages: readonly Record<string, unknown>[]
  /** True to answer pings (default). */
  answerPings: boolean
  /** Resolves with the next text frame, parsed; skips heartbeats. */
  next(): Promise<Message>
  /** Sends a masked frame; `last` is false if the message continues in another. */
  send(opcode: number, payload?: string | Uint8Array, last?: boolean): void
  write(bytes: Uint8Array): void
  /** Stops reading: the kernel's buffers fill up. */
  stall(): void
  resume(): void
  /** Reads one chunk and stalls again. */
  step(): Promise<void>
  /** Ends the connection with a TCP reset, like a crashed machine behind a router. */
  reset(): void
  readonly closed: Promise<void>
  /** Head of the answer to the upgrade request. */
  readonly head: string
}

export interface RawOptions {
  /** True by default; can be changed later. */
  readonly answerPings?: boolean
  /** Called with each frame when it is read, before it is answered or kept. */
  readonly onFrame?: (frame: RawFrame, client: RawClient) => void
}

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const HEARTBEAT = Buffer.from('{"type":"heartbeat"}')

/** Builds a masked client frame. */
export function frameOf(opcode: number, payload: Uint8Array, last = true): Buffer {
  const { length } = payload
  const mask = Buffer.from([1, 2, 3, 4])
  const size =
    length < 126
      ? Buffer.from([0x80 | length])
      : length < 65_536
        ? Buffer.from([0x80 | 126, length >> 8, length & 255])
        : Buffer.from([
            0x80 | 127,
            0,
            0,
            0,
            0,
            (length >> 24) & 255,
            (length >> 16) & 255,
            (length >> 8) & 255,
            length & 255,
          ])
  const masked = Buffer.from(payload.map((byte, n) => byte ^ (mask[n & 3] ?? 0)))
  return Buffer.concat([Buffer.from([(last ? 0x80 : 0) | opcode]), size, mask, masked])
}

/** Reads the first complete frame and the start of the next. */
export function firstFrame(bytes: Buffer): { readonly frame: RawFrame; readonly end: number } | undefined {
  if (bytes.length < 2) return undefined
  const short = bytes.readUInt8(1) & 127
  const start = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < start) return undefined
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  if (bytes.length < start + length) return undefined
  const frame = {
    opcode: bytes.readUInt8(0) & 15,
    payload: Buffer.from(bytes.subarray(start, start + length)),
  }
  return { frame, end: start + length }
}

const isHeartbeat = ({ payload }: RawFrame): boolean => payload.equals(HEARTBEAT)

export async function connectRaw(
  port: number,
  path: string,
  headers: readonly string[] = [],
  { answerPings = true, onFrame }: RawOptions = {},
): Promise<RawClient> {
  const socket: Socket = connect({ port, host: '127.0.0.1' })
  const frames = createInbox<RawFrame>()
  const messages: Record<string, unknown>[] = []
  const closed = Promise.withResolvers<void>()
  const upgraded = Promise.withResolvers<string>()
  let head: string | undefined
  let rest: Buffer = Buffer.alloc(0)

  const client: RawClient = {
    frames,
    messages,
    answerPings,
    next: async () => {
      const { payload } = await frames.until(frame => frame.opcode === 1 && !isHeartbeat(frame))
      return JSON.parse(payload.toString())
    },
    send: (opcode, payload = '', last = true) => {
      socket.write(frameOf(opcode, typeof payload === 'string' ? Buffer.from(payload) : payload, last))
    },
    write: bytes => void socket.write(bytes),
    stall: () => void socket.pause(),
    resume: () => void socket.resume(),
    step: async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const stop = () => {
        socket.pause()
        resolve()
      }
      socket.once('data', stop)
      socket.resume()
      await Promise.race([promise, closed.promise])
      socket.off('data', stop)
    },
    reset: () => void socket.resetAndDestroy(),
    closed: closed.promise,
    get head() {
      return head ?? ''
    },
    [Symbol.dispose]: () => void socket.destroy(),
  }

  const take = (frame: RawFrame) => {
    onFrame?.(frame, client)
    if (frame.opcode === 1) messages.push(JSON.parse(frame.payload.toString()))
    if (frame.opcode === 9 && client.answerPings) client.send(10, frame.payload)
    frames.push(frame)
  }

  socket.on('data', chunk => {
    rest = Buffer.concat([rest, Buffer.from(chunk)])
    if (head === undefined) {
      const end = rest.indexOf('\r\n\r\n')
      if (end < 0) return
      head = rest.subarray(0, end).toString('latin1')
      rest = rest.subarray(end + 4)
      upgraded.resolve(head)
    }
    if (!head.startsWith('HTTP/1.1 101 ')) return
    for (let found = firstFrame(rest); found !== undefined && !socket.destroyed; found = firstFrame(rest)) {
      rest = rest.subarray(found.end)
      take(found.frame)
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    frames.end()
    closed.resolve()
    upgraded.reject(new Error('closed before the upgrade was answered'))
  })
  const lines = [
    `GET ${path} HTTP/1.1`,
    'Host: localhost',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${KEY}`,
    ...headers,
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  await upgraded.promise
  return client
}
