import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signToken } from '../../src/auth/sign.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { API_KEY, JWT_SECRET, type ServerProcess } from './server.ts'

/**
 * What a loader is told, as `name=value`; `loader/load.c` and, where there is no compiler, `loader/load.ts` do the same.
 *
 * - `flow`: all clients connect, then senders publish, by `rate` a second in all or, without it, each its next when the last
 *   was answered. `idle` clients more make two further windows: one client that does not read what floods it, and all idle
 *   ones coming back, `storm` a second.
 * - `visit`: all clients connect, wait until each has `waiting` notifications, and leave, again and again. With `check` one
 *   broadcast must reach all of them each time.
 * - `hold`: a tenth of the clients connects, the rest follows; what these add to the server's memory is told.
 *
 * Each payload of 200 bytes holds `"mark":"` and in hexadecimal when it was due (16 digits, nanoseconds of the monotonic
 * clock), its lane (4: the sender, or 0 when sequences are per user) and its number in the lane (8, from 0).
 */
interface Load {
  readonly mode: 'flow' | 'visit' | 'hold'
  /** Seconds before, and of, a window. */
  readonly warm: number
  readonly measure: number
  readonly transport?: 'ws' | 'sse'
  readonly clients?: number
  /** Users to send to in turn; by default those who connect. Without clients they are others, who never do. */
  readonly users?: number
  /** What follows the token in the query of a connect. */
  readonly query?: string
  /** What WebSockets subscribe to. */
  readonly channel?: string
  readonly target?: 'user' | 'channel' | 'broadcast' | 'redis'
  /** 1: each notification is acknowledged by its id. */
  readonly acks?: number
  readonly senders?: number
  readonly rate?: number
  readonly redis_port?: number
  /** Messages on their way through Redis at any moment. */
  readonly window?: number
  readonly waiting?: number
  readonly check?: number
  readonly idle?: number
  readonly storm?: number
}

export type LoadOptions = Omit<Load, 'warm' | 'measure'>

/** A measured part of a run. */
export interface Window {
  readonly name: string
  readonly seconds: number
  /** User and system time of the server process, in seconds. */
  readonly cpu: number
  /** Part of the time the loader itself was at work; near 1 it, not the server, was measured. */
  readonly busy: number
  /** Notifications that came to clients. */
  readonly received: number
  /** Clients that connected and are ready. */
  readonly connected: number
  /** Sends that were answered. */
  readonly answered: number
  /** Milliseconds from when a send was due to its receipt. */
  readonly p50: number
  readonly p99: number
  /** Wall clock, in milliseconds. */
  readonly from: number
  readonly to: number
}

/** What a loader answers, in one line of JSON. */
export interface Loaded {
  readonly windows: readonly Window[]
  /** Notifications that did not come, and that came twice or after a later one. */
  readonly lost: number
  readonly repeated: number
  /** Sends without a successful answer. */
  readonly refused: number
  /** Clients that were disconnected. */
  readonly dropped: number
  /** Of `hold`. */
  readonly added_kib?: number
  readonly added?: number
}

const FOLDER = join(import.meta.dir, 'loader')
const MAX_USERS = 11_001
const TOKEN_SECONDS = 86_400

/** The load generator, ready to run. */
export interface Loader extends AsyncDisposable {
  /** Which of the two it is, in words. */
  readonly name: string
  run(server: ServerProcess, load: Load): Promise<Loaded>
}

async function writeTokens(file: string): Promise<void> {
  const users = Array.from({ length: MAX_USERS }, (_, n) => `user-${n}`)
  const sign = (user: string) =>
    signToken({ secret: JWT_SECRET, user, seconds: TOKEN_SECONDS, clock: systemClock })
  await Bun.write(file, `${(await Promise.all(users.map(sign))).join('\n')}\n`)
}

/** The command of the compiled loader; undefined where nothing compiles it. */
function compile(directory: string): readonly string[] | undefined {
  const compiler = Bun.which('cc') ?? Bun.which('gcc') ?? Bun.which('clang')
  if (compiler === null) return undefined
  const program = join(directory, 'load')
  const { success } = Bun.spawnSync([compiler, '-O2', '-o', program, join(FOLDER, 'load.c')], {
    stderr: 'ignore',
  })
  return success ? [program] : undefined
}

/** Builds the loader in a directory of its own, which goes with it. */
export async function createLoader(wanted: 'any' | 'bun'): Promise<Loader> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-bench-'))
  const tokens = join(directory, 'tokens')
  await writeTokens(tokens)
  const compiled = wanted === 'any' ? compile(directory) : undefined
  const command = compiled ?? [process.execPath, join(FOLDER, 'load.ts')]

  return {
    name: compiled === undefined ? 'loader of Bun (slower than the one in C)' : 'loader in C',
    run: async (server, load) => {
      const told = { ...load, port: server.port, pid: server.pid, key: API_KEY, tokens }
      const args = Object.entries(told).map(([name, value]) => `${name}=${value}`)
      const child = Bun.spawn([...command, ...args], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
      if (code !== 0) throw new Error(err.trim().split('\n', 1)[0] || `the loader ended with ${code}`)
      if (err !== '') console.error(err.trim())
      return JSON.parse(out) as Loaded
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}
