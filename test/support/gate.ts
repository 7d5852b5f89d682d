import { createConnection, createServer, type Socket } from 'node:net'

/** Proxy that may answer in place of the service: `await using gate = await startGate(service.port)`. */
export interface Gate extends AsyncDisposable {
  readonly url: string
  /** Heads of the requests so far. */
  readonly heads: readonly string[]
  /** Status for a request that the gate refuses; undefined lets it pass. */
  refuse: (head: string) => number | undefined
}

export const isUpgrade = (head: string): boolean => /^upgrade: *websocket/im.test(head)

export async function startGate(target: number): Promise<Gate> {
  const heads: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    sockets.add(near)
    near.on('error', () => {})
    near.on('close', () => sockets.delete(near))
    near.once('data', chunk => {
      const head = chunk.toString('latin1')
      heads.push(head)
      const status = gate.refuse(head)
      if (status !== undefined) {
        near.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
        return
      }
      const far = createConnection({ port: target, host: '127.0.0.1' })
      far.on('error', () => near.destroy())
      far.on('close', () => near.destroy())
      near.on('close', () => far.destroy())
      far.write(chunk)
      near.pipe(far).pipe(near)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the gate has no port')
  const gate: Gate = {
    url: `http://127.0.0.1:${address.port}`,
    heads,
    refuse: () => undefined,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return gate
}
