import { connect } from 'node:net'

/** HTTP/1.1 exchange whose answer is read only on demand of the test. */
export interface RawExchange extends Disposable {
  /** Status line and headers. */
  readonly head: string
  /** Body received so far, without chunk framing. */
  text(): string
  /** Last 1,000 bytes of the body, at no cost. */
  tail(): string
  /** Resolves when the text matches. */
  until(fits: (text: string) => boolean): Promise<string>
  write(text: string): void
  stall(): void
  resume(): void
  /** Reads one piece and stalls again. */
  step(): Promise<void>
  /** Ends the connection with a TCP reset. */
  reset(): void
  /** Resolves after the server has ended the connection. */
  readonly closed: Promise<void>
}

const TAIL_BYTES = 1_000
const HEAD_END = '\r\n\r\n'
const LINE_END = '\r\n'

/** Removes the chunk framing, at any split of the input. */
function createDechunker(): (piece: Buffer) => Buffer {
  let rest: Buffer = Buffer.alloc(0)
  let left = 0
  return piece => {
    rest = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    const found: Buffer[] = []
    while (rest.length > 0) {
      if (left > 0) {
        const part = rest.subarray(0, left)
        found.push(part)
        left -= part.length
        rest = rest.subarray(part.length)
        continue
      }
      // The end of a chunk precedes the size of the next.
      const start = rest.indexOf(LINE_END) === 0 ? 2 : 0
      const end = rest.indexOf(LINE_END, start)
      if (end < 0) break
      left = Number.parseInt(rest.subarray(start, end).toString('latin1'), 16) || 0
      rest = left === 0 ? Buffer.alloc(0) : rest.subarray(end + 2)
    }
    return Buffer.concat(found)
  }
}

/** Resolves with the head of the answer. `lines` begin with the request line; `Host` is added. */
export async function exchangeRaw(port: number, lines: readonly string[], body = ''): Promise<RawExchange> {
  const socket = connect({ port, host: '127.0.0.1' })
  const pieces: Buffer[] = []
  const closed = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<string>()
  let head: string | undefined
  let before: Buffer = Buffer.alloc(0)
  let decode = (piece: Buffer): Buffer => piece
  let tail: Buffer = Buffer.alloc(0)
  let stir = Promise.withResolvers<void>()

  const take = (piece: Buffer): void => {
    pieces.push(piece)
    tail = Buffer.from(Buffer.concat([tail, piece]).subarray(-TAIL_BYTES))
    stir.resolve()
    stir = Promise.withResolvers()
  }

  socket.on('data', data => {
    const bytes = Buffer.from(data)
    if (head !== undefined) return take(decode(bytes))
    before = Buffer.concat([before, bytes])
    const end = before.indexOf(HEAD_END)
    if (end < 0) return
    head = before.subarray(0, end).toString('latin1')
    if (/^transfer-encoding: chunked$/im.test(head)) decode = createDechunker()
    take(decode(before.subarray(end + HEAD_END.length)))
    answered.resolve(head)
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    closed.resolve()
    stir.resolve()
    answered.reject(new Error('closed before it was answered'))
  })
  socket.write(`${[...lines, 'Host: localhost'].join('\r\n')}${HEAD_END}${body}`)

  const text = () => Buffer.concat(pieces).toString()
  return {
    head: await answered.promise,
    text,
    tail: () => tail.toString(),
    until: async fits => {
      while (!fits(text())) {
        if (socket.destroyed) throw new Error(`ended after ${text().slice(-200)}`)
        await stir.promise
      }
      return text()
    },
    write: more => void socket.write(more),
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
    [Symbol.dispose]: () => void socket.destroy(),
  }
}
