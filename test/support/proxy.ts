import { createConnection, createServer, type Socket } from 'node:net'

/** A line that a test can spoil: `await using line = await startProxy(redis.port)`. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
  /** How many connections there were. */
  readonly accepted: number
  /** Everything takes so much longer from now on, in each direction. */
  delay(ms: number): void
  /** Connections are accepted and kept, and nothing passes. */
  freeze(): void
  /** What was held back passes now. */
  thaw(): void
  /** What is asked still passes, the answers are held back. */
  mute(): void
  /** Resets every connection there is. */
  cut(): void
}

export async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>()
  const answering = new Set<Socket>()
  let frozen = false
  let muted = false
  let lateMs = 0
  let accepted = 0

  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.setNoDelay(true)
    from.on('data', chunk => {
      if (lateMs === 0) to.write(chunk)
      else setTimeout(() => to.write(chunk), lateMs)
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
    pass(near, far)
    pass(far, near)
    answering.add(far)
    if (muted) far.pause()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
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
    delay: ms => {
      lateMs = ms
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
