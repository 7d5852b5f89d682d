import { createConnection, createServer, type Socket } from 'node:net'

/** Proxy that a test can disturb: `await using line = await startProxy(redis.port)`. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
  /** Number of connections so far. */
  readonly accepted: number
  /** Delays everything from now on, in both directions or in one. */
  delay(ms: number, only?: 'requests' | 'answers'): void
  /** Accepts and keeps connections, but passes nothing. */
  freeze(): void
  /** Passes everything held back. */
  thaw(): void
  /** Passes requests, but holds back answers. */
  mute(): void
  /** Resets every connection. */
  cut(): void
}

/** Listens on a free port, or on the given one. */
export async function startProxy(target: number, port = 0): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const answering = new Set<Socket>()
  let frozen = false
  let muted = false
  const lateMs = { requests: 0, answers: 0 }
  let accepted = 0

  const pass = (what: 'requests' | 'answers', from: Socket, to: Socket): void => {
    sockets.add(from)
    from.setNoDelay(true)
    // Chunks that wait, in their order: a shorter delay must not let one overtake another.
    const late: (string | Buffer)[] = []
    from.on('data', chunk => {
      if (lateMs[what] === 0 && late.length === 0) {
        to.write(chunk)
        return
      }
      late.push(chunk)
      setTimeout(() => {
        const next = late.shift()
        if (next !== undefined) to.write(next)
      }, lateMs[what])
    })
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      answering.delete(from)
      to.destroy()
    })
    if (frozen) from.pause()
  }

  const server = createServer(near => {
    accepted++
    const far = createConnection({ port: target, host: '127.0.0.1' })
    pass('requests', near, far)
    pass('answers', far, near)
    answering.add(far)
    if (muted) far.pause()
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }

  return {
    port: address.port,
    get accepted() {
      return accepted
    },
    delay: (ms, only) => {
      if (only !== 'answers') lateMs.requests = ms
      if (only !== 'requests') lateMs.answers = ms
    },
    freeze: () => {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    mute: () => {
      muted = true
      for (const socket of answering) socket.pause()
    },
    thaw: () => {
      frozen = false
      muted = false
      for (const socket of sockets) socket.resume()
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      cut()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
