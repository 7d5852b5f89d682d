import type { Socket } from 'bun'

export interface LazyProxy extends Disposable {
  readonly port: number
}

interface Pair {
  other: Socket<Pair> | undefined
  isGone: boolean
  /** True once something was written to a client that has gone. */
  isReset: boolean
}

/** Behaves like HAProxy: the first write to a client that has gone brings a reset, the second one sees it. */
export function startLazyProxy(port: number): LazyProxy {
  const listener = Bun.listen<Pair>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open: client => {
        client.data = { other: undefined, isGone: false, isReset: false }
      },
      data: async (client, chunk) => {
        const bytes = Buffer.from(chunk)
        client.data.other ??= await Bun.connect<Pair>({
          hostname: '127.0.0.1',
          port,
          data: { other: client, isGone: false, isReset: false },
          socket: {
            data: (server, answer) => {
              const { data } = client
              if (data.isReset) server.end()
              else if (data.isGone) data.isReset = true
              else client.write(answer)
            },
            close: () => void client.end(),
          },
        })
        client.data.other.write(bytes)
      },
      close: client => {
        client.data.isGone = true
      },
      error: client => {
        client.data.isGone = true
      },
    },
  })
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) }
}
