import { createConnection, createServer, type Socket } from 'node:net'
import type { Random } from './random.ts'

/** A line to a server that resets each connection after some bytes. */
export interface CuttingLine extends AsyncDisposable {
  readonly port: number
  /** Connections that were reset, by the bytes that ran out. */
  readonly cuts: { requests: number; answers: number }
}

/** Each connection passes up to `maxBytes` in each direction, and what follows in the same piece is lost. */
export async function startCuttingLine(
  target: number,
  random: Random,
  maxBytes: number,
): Promise<CuttingLine> {
  const cuts = { requests: 0, answers: 0 }
  const sockets = new Set<Socket>()

  const pass = (what: keyof typeof cuts, from: Socket, to: Socket): void => {
    let left = random.whole(0, maxBytes)
    sockets.add(from)
    from.setNoDelay(true)
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    from.on('data', chunk => {
      const bytes = Buffer.from(chunk)
      to.write(bytes.subarray(0, left), () => {
        if (left >= 0) return
        from.resetAndDestroy()
        to.resetAndDestroy()
      })
      left -= bytes.length
      if (left < 0 && left + bytes.length >= 0) cuts[what]++
    })
  }

  const server = createServer(near => {
    const far = createConnection({ port: target, host: '127.0.0.1' })
    pass('requests', near, far)
    pass('answers', far, near)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the line has no port')
  return {
    port: address.port,
    cuts,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
