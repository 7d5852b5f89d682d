import { connect } from 'node:net'

/** One HTTP/1.1 exchange whose answer is read only when the test wants it. */
export interface RawExchange extends Disposable {
  /** Status line and headers. */
  readonly head: string
  /** What has come of the body up to now; of a chunked one whole chunks only. */
  text(): string
  /** Resolves when the text fits. */
  until(fits: (text: string) => boolean): Promise<string>
  write(text: string): void
  stall(): void
  resume(): void
  /** Reads one chunk and stalls again. */
  step(): Promise<void>
  /** Ends it with a TCP reset. */
  reset(): void
  /** The server has ended it. */
  readonly closed: Promise<void>
}

/** Without the sizes of its chunks; what has not come as a whole is left out. */
function dechunk(bytes: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at)
    const size = end < 0 ? 0 : Number.parseInt(bytes.subarray(at, end).toString('latin1'), 16)
    if (!(size > 0) || bytes.length < end + 2 + size) return Buffer.concat(chunks)
    chunks.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

/** Resolves with the head of the answer. `lines` begin with the request line; `Host` is added. */
export async function exchangeRaw(port: number, lines: readonly string[], body = ''): Promise<RawExchange> {
  const socket = connect({ port, host: '127.0.0.1' })
  const chunks: Buffer[] = []
  const closed = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<string>()
  let isAnswered = false
  let stir = Promise.withResolvers<void>()

  const headEnd = (bytes: Buffer): number => bytes.indexOf('\r\n\r\n')
  socket.on('data', chunk => {
    chunks.push(Buffer.from(chunk))
    stir.resolve()
    stir = Promise.withResolvers()
    if (isAnswered) return
    const bytes = Buffer.concat(chunks)
    isAnswered = headEnd(bytes) >= 0
    if (isAnswered) answered.resolve(bytes.subarray(0, headEnd(bytes)).toString('latin1'))
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    closed.resolve()
    stir.resolve()
    answered.reject(new Error('closed before it was answered'))
  })
  socket.write(`${[...lines, 'Host: localhost'].join('\r\n')}\r\n\r\n${body}`)

  const text = () => {
    const bytes = Buffer.concat(chunks)
    const body = bytes.subarray(headEnd(bytes) + 4)
    const isChunked = /^transfer-encoding: chunked$/im.test(
      bytes.subarray(0, headEnd(bytes)).toString('latin1'),
    )
    return (isChunked ? dechunk(body) : body).toString()
  }
  const head = await answered.promise
  return {
    head,
    text,
    until: async fits => {
      while (!fits(text())) {
        if (socket.destroyed) throw new Error(`ended: ${text()}`)
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
