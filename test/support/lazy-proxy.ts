import type { Socket } from 'bun'

export interface LazyProxy extends Disposable {
  readonly port: number
}

interface Pair {
  other: Socket<Pair> | undefined
  isGone: boolean
}

/** As HAProxy and Apache do: that a client has gone is noticed only when something is to be written to it. */
export function startLazyProxy(port: number): LazyProxy {
  const listener = Bun.listen<Pair>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open: client => {
        client.data = { other: undefined, isGone: false }
      },
      data: async (client, chunk) => {
        const bytes = Buffer.from(chunk)
        client.data.other ??= await Bun.connect<Pair>({
          hostname: '127.0.0.1',
          port,
          data: { other: client, isGone: false },
          socket: {
            data: (server, answer) => {
              if (client.data.isGone) server.end()
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
