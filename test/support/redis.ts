import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { reservePort } from './free-port.ts'
import { ADVICE, findRedisServer } from './redis-server.ts'
import { eventually } from './visit.ts'

/** Redis server of one test, on its own port, without persistence. */
export interface TestRedis extends AsyncDisposable {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  /** Opens a client, closed with the server. */
  client(): Redis
  /** Publishes a message and returns the number of receivers. */
  publish(channel: string, message: string | object | Buffer): Promise<number>
  /** Sends SIGKILL; resolves when the server has exited. */
  kill(): Promise<void>
  /** Restarts it on the same port after a kill; resolves when it answers. */
  restart(): Promise<void>
  /** Sends SIGSTOP: the kernel still accepts connections, but nothing is answered. */
  freeze(): void
  thaw(): void
}

/** Gives a Redis user the permissions of docs/OPERATIONS.md, by the command there that contains all words. */
export async function permit(client: Redis, user: string, ...words: readonly string[]): Promise<void> {
  const text = await readFile(join(import.meta.dir, '../../docs/OPERATIONS.md'), 'utf8')
  const lines = text.match(new RegExp(`^ACL SETUSER ${user} .*$`, 'gm')) ?? []
  const [line, ...others] = lines.filter(each => words.every(word => each.includes(word)))
  if (line === undefined || others.length > 0) throw new Error(`not one line for ${user} ${words.join(' ')}`)
  await client.call('ACL', line.split(' ').slice(1))
}

/** Resolves when clients have connected this many times more: a service tries again and again. */
export async function untilTriedAgain(client: Redis, times: number): Promise<void> {
  const connections = async () =>
    Number(/total_connections_received:(\d+)/.exec(await client.info('stats'))?.[1])
  const before = await connections()
  await eventually(async () => (await connections()) >= before + times)
}

type Process = Bun.Subprocess<'ignore', 'ignore', 'ignore'>

const START_MS = 10_000
const PORTS_TRIED = 20

async function answers(port: number): Promise<boolean> {
  const client = new Redis({
    port,
    host: '127.0.0.1',
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    enableReadyCheck: false,
    disableClientInfo: true,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } catch (error) {
    // A demand for a password is an answer.
    return error instanceof Error && error.message.startsWith('NOAUTH')
  } finally {
    client.disconnect()
  }
}

/** Starts a server; undefined if a program has its port. A node of a cluster needs a second port. */
async function launch(
  port: number,
  directory: string,
  args: readonly string[],
): Promise<Process | undefined> {
  const server = findRedisServer(directory)
  if (server === undefined) throw new Error(ADVICE)
  const common = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
  const child = Bun.spawn([server, ...args, ...common], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  })
  const giveUpAt = performance.now() + START_MS
  while (child.exitCode === null && !(await answers(port))) {
    if (performance.now() > giveUpAt) {
      child.kill('SIGKILL')
      throw new Error(`Redis does not answer on port ${port}`)
    }
    await Bun.sleep(10)
  }
  return child.exitCode === null ? child : undefined
}

/** `await using redis = await startRedis()`; passes arguments to the server; `--sentinel` starts a Sentinel. */
export async function startRedis(...args: readonly string[]): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'redis-'))
  const isSentinel = args.includes('--sentinel')
  // A Sentinel writes what it learns into its file.
  const file = join(directory, 'sentinel.conf')
  if (isSentinel) await writeFile(file, '')
  const all = isSentinel ? [file, ...args] : ['--save', '', '--appendonly', 'no', ...args]
  const clients: Redis[] = []
  let reserved = await reservePort()
  let child = await launch(reserved.port, directory, all)
  for (let n = 0; child === undefined && n < PORTS_TRIED; n++) {
    reserved[Symbol.dispose]()
    reserved = await reservePort()
    child = await launch(reserved.port, directory, all)
  }
  const { port } = reserved

  const client = (): Redis => {
    const made = new Redis({ port, host: '127.0.0.1', retryStrategy: null })
    made.on('error', () => {})
    clients.push(made)
    return made
  }
  let publisher: Redis | undefined
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL')
    await child?.exited
  }

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    client,
    publish: (channel, message) => {
      if (publisher === undefined || publisher.status === 'end') publisher = client()
      const isText = typeof message === 'string' || message instanceof Buffer
      return publisher.publish(channel, isText ? message : JSON.stringify(message))
    },
    kill,
    restart: async () => {
      child = await launch(port, directory, all)
      if (child === undefined) throw new Error(`port ${port} was taken meanwhile`)
    },
    freeze: () => child?.kill('SIGSTOP'),
    thaw: () => child?.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      for (const each of clients) each.disconnect()
      await kill()
      reserved[Symbol.dispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
