import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signToken } from '../../src/auth/sign.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { API_KEY, JWT_SECRET, type LoadTarget, onAllCores } from './server.ts'

/**
 * Arguments of a loader, as `name=value`. `loader/load.c` and, without a compiler, `loader/load.ts` behave the same.
 *
 * - `flow`: all clients connect, then senders publish, at `rate` a second in total or, without it, each after its previous
 *   answer. `idle` more clients add two windows: one flooded client that does not read, and all idle
 *   clients reconnecting, `storm` a second.
 * - `visit`: all clients connect, wait until each has `waiting` notifications, and leave, again and again. With `check` one
 *   broadcast must reach all of them in each round.
 * - `hold`: a tenth of the clients connects, then the rest; reports the memory that the rest adds to the server.
 *
 * Each payload of 200 bytes holds `"mark":"` and in hexadecimal when it was due (16 digits, nanoseconds of the monotonic
 * clock), its lane (4: the sender, or 0 when sequences are per user) and its number in the lane (8, from 0).
 */
interface Load {
  readonly mode: 'flow' | 'visit' | 'hold'
  /** Seconds before a window, and of a window. */
  readonly warm: number
  readonly measure: number
  readonly transport?: 'ws' | 'sse' | 'socket.io' | 'centrifugo'
  readonly clients?: number
  /** Users to send to in turn; by default the connected ones. Without clients, users who never connect. */
  readonly users?: number
  /** Rest of the query after the token. */
  readonly query?: string
  /** Channels of the WebSockets. */
  readonly channel?: string
  readonly target?: 'user' | 'channel' | 'broadcast' | 'redis'
  /** 1 acknowledges each notification by its id. */
  readonly acks?: number
  readonly senders?: number
  readonly rate?: number
  readonly redis_port?: number
  /** Messages in flight through Redis. */
  readonly window?: number
  /** One in so many messages through Redis goes to a client and shows the progress; the others go to users who are away. */
  readonly stride?: number
  readonly waiting?: number
  readonly check?: number
  readonly idle?: number
  readonly storm?: number
}

/** Without `warm` and `measure` those of the bench apply. */
export type LoadOptions = Omit<Load, 'warm' | 'measure'> & Partial<Pick<Load, 'warm' | 'measure'>>

/** Measured part of a run. */
export interface Window {
  readonly name: string
  readonly seconds: number
  /** User and system time of all server processes, in seconds. */
  readonly cpu: number
  /** CPU-seconds of each process. */
  readonly cpus: readonly number[]
  /** Busy share of the loader; near 1 the loader was the bottleneck. */
  readonly busy: number
  /** Notifications received by clients. */
  readonly received: number
  /** Clients that are connected and ready. */
  readonly connected: number
  /** Answered sends. */
  readonly answered: number
  /** Milliseconds from the due time of a send to its receipt. */
  readonly p50: number
  readonly p99: number
  /** Wall clock, milliseconds. */
  readonly from: number
  readonly to: number
}

/** Result of a loader, one line of JSON. */
export interface Loaded {
  readonly windows: readonly Window[]
  /** Lost notifications, and notifications repeated or out of order. */
  readonly lost: number
  readonly repeated: number
  /** Sends without a successful answer. */
  readonly refused: number
  /** Disconnected clients. */
  readonly dropped: number
  /** Only for `hold`. */
  readonly added_kib?: number
  readonly added?: number
}

const FOLDER = join(import.meta.dir, 'loader')
const MAX_USERS = 11_001
const TOKEN_SECONDS = 86_400

/** Load generator, ready to run. */
export interface Loader extends AsyncDisposable {
  /** Name of the loader. */
  readonly name: string
  run(target: LoadTarget, load: Load): Promise<Loaded>
}

/** Key of the API and secret of the tokens. */
export interface Credentials {
  readonly key: string
  readonly secret: string
}

/** Tokens of `user-0`, `user-1` and so on. */
export function signTokens(
  count: number,
  secret = JWT_SECRET,
  channelsOf: (user: string) => readonly string[] | undefined = () => undefined,
): Promise<readonly string[]> {
  const users = Array.from({ length: count }, (_, n) => `user-${n}`)
  const sign = (user: string) =>
    signToken({ secret, user, channels: channelsOf(user), seconds: TOKEN_SECONDS, clock: systemClock })
  return Promise.all(users.map(sign))
}

/** Compiles the loader and returns its command; undefined without a compiler. */
function compile(directory: string): readonly string[] | undefined {
  const compiler = Bun.which('cc') ?? Bun.which('gcc') ?? Bun.which('clang')
  if (compiler === null) return undefined
  const program = join(directory, 'load')
  const { success } = Bun.spawnSync([compiler, '-O2', '-o', program, join(FOLDER, 'load.c')], {
    stderr: 'ignore',
  })
  return success ? [program] : undefined
}

/** Builds the loader in its own directory, which is removed with it. */
export async function createLoader(
  wanted: 'any' | 'bun',
  { key, secret }: Credentials = { key: API_KEY, secret: JWT_SECRET },
): Promise<Loader> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-bench-'))
  const writeTokens = async (name: string, channelsOf?: (user: string) => readonly string[]) => {
    const path = join(directory, name)
    await Bun.write(path, `${(await signTokens(MAX_USERS, secret, channelsOf)).join('\n')}\n`)
    return path
  }
  const plainTokens = await writeTokens('tokens')
  /** Centrifugo subscribes a client to the channels of its token. */
  const tokensFor = ({ transport, target, channel = 'bench' }: Load): Promise<string> | string =>
    transport === 'centrifugo'
      ? writeTokens(`tokens-${target}`, user => [target === 'user' ? user : channel])
      : plainTokens
  const compiled = wanted === 'any' ? compile(directory) : undefined
  const command = compiled ?? [process.execPath, join(FOLDER, 'load.ts')]

  return {
    name: compiled === undefined ? 'loader of Bun (slower than the one in C)' : 'loader in C',
    run: async ({ host = '127.0.0.1', ports, pids, isOnAllCores = false }, load) => {
      const told = { ...load, host, port: ports, pid: pids, key, tokens: await tokensFor(load) }
      const args = Object.entries(told).map(([name, value]) => `${name}=${value}`)
      const all = [...command, ...args]
      const child = Bun.spawn(isOnAllCores ? onAllCores(all) : all, {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
      if (code !== 0) throw new Error(err.trim().split('\n', 1)[0] || `the loader ended with ${code}`)
      if (err !== '') console.error(err.trim())
      return JSON.parse(out) as Loaded
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}
