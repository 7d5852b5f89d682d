import { createConnection, createServer, type Socket } from 'node:net'

export interface AlteredLine extends AsyncDisposable {
  readonly port: number
}

/** Listens on a free port and passes everything, with each chunk of the answers altered. */
export async function startAlteredLine(
  target: number,
  alter: (text: string) => string,
): Promise<AlteredLine> {
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = createConnection({ port: target, host: '127.0.0.1' })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    near.on('data', chunk => far.write(chunk))
    far.on('data', chunk => near.write(alter(chunk.toString('latin1')), 'latin1'))
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the line has no port')
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
