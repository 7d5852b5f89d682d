import type { Socket } from 'bun'
import { API_KEY } from './server.ts'

interface Call {
  readonly path: string
  readonly body: string
}

interface Caller {
  rest: string
  answered: (() => void) | undefined
}

/** Requests over connections that are kept alive, each its own next one after the answer to the last. */
export interface Callers extends Disposable {
  /** Answers with 200 up to now. Any other stops the run. */
  readonly answered: number
  /** Sends as fast as answers come, until told to stop; resolves when the last is answered. */
  run(next: () => Call, until: () => boolean): Promise<void>
  /** Sends `perSecond` evenly for a time. */
  pace(next: () => Call, perSecond: number, ms: number): Promise<void>
}

const textOf = ({ path, body }: Call): string =>
  `POST /api/v1/notifications/${path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: ${API_KEY}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** True when the answer to the one request under way is whole. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return false
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(`an answer was ${text.slice(0, 300)}`)
  return text.length >= end + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1])
}

export async function openCallers(port: number, connections: number): Promise<Callers> {
  let count = 0
  const sockets: Socket<Caller>[] = []
  for (let n = 0; n < connections; n++) {
    sockets.push(
      await Bun.connect<Caller>({
        hostname: '127.0.0.1',
        port,
        data: { rest: '', answered: undefined },
        socket: {
          data({ data }, chunk) {
            data.rest += chunk.toString('latin1')
            if (!isWhole(data.rest)) return
            data.rest = ''
            count++
            data.answered?.()
          },
        },
      }),
    )
  }

  const call = (socket: Socket<Caller>, text: string): Promise<void> =>
    new Promise(resolve => {
      socket.data.answered = resolve
      socket.write(text)
    })

  return {
    get answered() {
      return count
    },
    run: async (next, until) => {
      const loop = async (socket: Socket<Caller>): Promise<void> => {
        while (!until()) await call(socket, textOf(next()))
      }
      await Promise.all(sockets.map(loop))
    },
    pace: async (next, perSecond, ms) => {
      const startedAt = performance.now()
      const total = Math.round((perSecond * ms) / 1000)
      const calls: Promise<void>[] = []
      for (let n = 0; n < total; n++) {
        const wait = startedAt + (n * 1000) / perSecond - performance.now()
        if (wait > 1) await Bun.sleep(wait)
        const socket = sockets[n % sockets.length]
        if (socket !== undefined) calls.push(call(socket, textOf(next())))
      }
      await Promise.all(calls)
    },
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.terminate()
    },
  }
}
