import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

/** Port of 127.0.0.1 that no other test takes, in this process or another one. */
interface ReservedPort extends Disposable {
  readonly port: number
}

/** Ports below those of outgoing connections, which could take the port of a server that is not up yet. */
const [FIRST_PORT, LAST_PORT] = [10_000, 32_000]
const PORTS_TRIED = 100

const randomPort = (): number => FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT))

/** Takes the number for UDP, which stands for it among tests; undefined if another test has it. */
async function reserve(port: number): Promise<Disposable | undefined> {
  const socket = createSocket('udp4')
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.once('error', () => resolve(false))
  socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true))
  if (!(await promise)) return undefined
  socket.unref()
  // A test may end its server before the end of its scope.
  const reserved = new DisposableStack()
  reserved.defer(() => socket.close())
  return reserved
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  return promise
}

/** Finds a free port and keeps other tests from it until it is disposed, also while its server is down. */
export async function reservePort(): Promise<ReservedPort> {
  for (let n = 0; n < PORTS_TRIED; n++) {
    const port = randomPort()
    const reserved = await reserve(port)
    if (reserved === undefined) continue
    if (await isFree(port)) return { port, [Symbol.dispose]: () => reserved[Symbol.dispose]() }
    reserved[Symbol.dispose]()
  }
  throw new Error('no port is free')
}

/** Finds a free port, and keeps other tests from it until this process ends. */
export const freePort = async (): Promise<number> => (await reservePort()).port
