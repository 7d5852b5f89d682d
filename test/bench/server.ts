import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Subprocess } from 'bun'

/** Which of the two is measured. */
export type Side = 'ours' | 'control'

export const API_KEY = 'bench-key-of-sixteen-or-more'
export const JWT_SECRET = 'bench-secret-of-thirty-two-bytes-or-more'

const ROOT = join(import.meta.dir, '../..')
const ENTRY: Record<Side, string> = { ours: 'src/main.ts', control: 'test/bench/control.ts' }
const SERVER_CORE = '0'
const LOAD_CORE = '1'
const TICKS_PER_SECOND = 100
const START_LIMIT_MS = 10_000

const hasTaskset = Bun.which('taskset') !== null

/** The load keeps off the server's core, where the system can be told so. */
export function pinLoad(): string {
  if (!hasTaskset) return 'not pinned: no taskset'
  Bun.spawnSync(['taskset', '-a', '-c', '-p', LOAD_CORE, String(process.pid)])
  return `server on core ${SERVER_CORE}, load on core ${LOAD_CORE}`
}

function freePort(): number {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

/** A server process of its own, so that what it costs can be read off the system. */
export class ServerProcess implements AsyncDisposable {
  readonly port: number
  readonly #child: Subprocess

  private constructor(port: number, child: Subprocess) {
    this.port = port
    this.#child = child
  }

  /** Resolves when it answers. */
  static async start(side: Side, env: Readonly<Record<string, string>>): Promise<ServerProcess> {
    const port = freePort()
    const command = [process.execPath, ENTRY[side]]
    const child = Bun.spawn(hasTaskset ? ['taskset', '-c', SERVER_CORE, ...command] : command, {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'] ?? '',
        SERVER_HOST: '127.0.0.1',
        SERVER_PORT: String(port),
        API_KEY,
        JWT_SECRET,
        LOG_FORMAT: 'json',
        REDIS_URL: '',
        WEBSOCKET_MAX_CONNECTIONS: '15000',
        DRAIN_SECONDS: '0',
        ...env,
      },
      stdout: 'ignore',
      stderr: 'inherit',
    })
    const limit = performance.now() + START_LIMIT_MS
    while (!(await fetch(`http://127.0.0.1:${port}/health/live`).catch(() => undefined))) {
      if (child.exitCode !== null || performance.now() > limit) throw new Error(`${side} does not start`)
      await Bun.sleep(20)
    }
    return new ServerProcess(port, child)
  }

  /** CPU used since its start, user and system, in milliseconds. */
  cpuMs(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
  }

  /** Resident memory in KiB. */
  residentKb(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#child.exited
  }
}
