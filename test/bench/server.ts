import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Subprocess } from 'bun'

export const API_KEY = 'bench-key-of-sixteen-or-more'
export const JWT_SECRET = 'bench-secret-of-thirty-two-bytes-or-more'

const ROOT = join(import.meta.dir, '../..')
const OURS = 'src/main.ts'
const SERVER_CORE = 0
const START_LIMIT_MS = 10_000

const canPin = Bun.which('taskset') !== null && availableParallelism() > 1

/** Keeps the load and its children off the server's core, where the system allows it. */
export function pinLoad(): string {
  if (!canPin) return 'nothing pinned to a core'
  const cores = availableParallelism()
  const others = cores === 2 ? '1' : `1-${cores - 1}`
  Bun.spawnSync(['taskset', '-a', '-c', '-p', others, String(process.pid)])
  return `server on core ${SERVER_CORE}, load on ${others}`
}

const onCores = (cores: string, command: readonly string[]): string[] =>
  canPin ? ['taskset', '-c', cores, ...command] : [...command]

/** Undoes `pinLoad` for a command. */
export const onAllCores = (command: readonly string[]): string[] =>
  onCores(`0-${availableParallelism() - 1}`, command)

function freePort(): number {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

/** Longest stall of the event loop in the tenth of a second before `at` (wall clock). */
interface Stall {
  readonly at: number
  readonly stallMs: number
}

interface ServerOptions {
  /** File in `control/`; our service if undefined. */
  readonly control?: string | undefined
  /** Another program in place of both. */
  readonly program?: readonly string[] | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  /** True to report the stalls of its event loop. */
  readonly metered?: boolean | undefined
  /** True to use all cores instead of one. */
  readonly isOnAllCores?: boolean | undefined
}

/** Processes that one load reaches and measures. Clients and senders use the ports in turn. */
export interface LoadTarget {
  /** Address; the loopback by default. */
  readonly host?: string
  readonly ports: readonly number[]
  /** May be empty: then no CPU is measured. */
  readonly pids: readonly number[]
  /** True if the load uses all cores too. */
  readonly isOnAllCores?: boolean
}

/** Server in its own process, so that the system reports its cost. */
export class ServerProcess implements AsyncDisposable, LoadTarget {
  readonly port: number
  readonly stalls: Stall[] = []
  readonly #child: Subprocess

  private constructor(port: number, child: Subprocess) {
    this.port = port
    this.#child = child
  }

  get ports(): readonly number[] {
    return [this.port]
  }

  get pid(): number {
    return this.#child.pid
  }

  get pids(): readonly number[] {
    return [this.pid]
  }

  /** Resolves when it accepts traffic. */
  static async start({
    control,
    program,
    env,
    metered = false,
    isOnAllCores = false,
  }: ServerOptions): Promise<ServerProcess> {
    const port = freePort()
    const entry = control === undefined ? OURS : `test/bench/control/${control}.ts`
    const meter = metered ? ['--preload', './test/bench/stall-meter.ts'] : []
    const command = program ?? [process.execPath, ...meter, entry]
    const child = Bun.spawn(isOnAllCores ? onAllCores(command) : onCores(String(SERVER_CORE), command), {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'] ?? '',
        SERVER_HOST: '127.0.0.1',
        SERVER_PORT: String(port),
        API_KEY,
        JWT_SECRET,
        LOG_FORMAT: 'json',
        REDIS_URL: '',
        // Stay above any row, with the limit enabled.
        WEBSOCKET_MAX_CONNECTIONS: '15000',
        ...env,
      },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: metered ? 'pipe' : 'inherit',
    })
    const server = new ServerProcess(port, child)
    if (child.stderr instanceof ReadableStream) void server.#readStalls(child.stderr)
    await server.#getsReady(command.join(' '))
    return server
  }

  kill(signal: 'SIGKILL' | 'SIGHUP'): void {
    this.#child.kill(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL')
    await this.#child.exited
  }

  async #getsReady(command: string): Promise<void> {
    const limit = performance.now() + START_LIMIT_MS
    const isReady = async (): Promise<boolean> =>
      (await fetch(`http://127.0.0.1:${this.port}/health/ready`).catch(() => undefined))?.ok === true
    // Its storage may become available later.
    while (!(await isReady())) {
      if (this.#child.exitCode === null && performance.now() < limit) await Bun.sleep(20)
      else throw new Error(`"${command}" does not start`)
    }
  }

  async #readStalls(lines: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ''
    for await (const bytes of lines) {
      const whole = `${rest}${decoder.decode(bytes, { stream: true })}`.split('\n')
      rest = whole.pop() ?? ''
      for (const line of whole) this.stalls.push(JSON.parse(line))
    }
  }
}
