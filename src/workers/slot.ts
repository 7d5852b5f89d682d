import type { Clock } from '../lib/time/clock.ts'
import type { Logger } from '../observe/log.ts'
import type { StartMessage } from './messages.ts'
import type { End, WorkerProcess } from './worker-process.ts'

/** How long a new process waits for its store and its bus. */
type Patience = Pick<StartMessage, 'patienceMs' | 'isSuccessor'>

/** Place of one worker: always one process that serves, or the next one after it ended. */
export interface Slot {
  readonly number: number
  /** All its processes that have not ended, replaced ones included. */
  readonly processes: readonly WorkerProcess[]
  /** The one that serves, or is about to. */
  readonly current: WorkerProcess | undefined
  /** Resolves when its first process serves. */
  readonly started: Promise<void>
  /** Puts a new process in the place of the present one, which drains. Resolves with the reason if it failed. */
  replace(): Promise<string | undefined>
  /** Starts no further process. */
  stop(): void
}

interface SlotOptions {
  readonly number: number
  readonly launch: (patience: Patience) => WorkerProcess
  /** Stops the listening of its socket, which the supervisor holds. */
  readonly silence: () => void
  /** A process began to serve, or ended. */
  readonly onChange: (process: WorkerProcess) => void
  /** A process cannot start; true if no other shall be tried. */
  readonly onRefused: (line: string) => boolean
  readonly onRestart: () => void
  readonly clock: Clock
  readonly logger: Logger
}

const FIRST_RESTART_MS = 100
const LAST_RESTART_MS = 10_000
/** A process that ends sooner ended too early. */
const EARLY_MS = 10_000
/** The other workers serve meanwhile. */
const RESTARTED: Patience = { patienceMs: 2_000, isSuccessor: false }
const REPLACING: Patience = { patienceMs: 30_000, isSuccessor: true }
const AT_START: Patience = { patienceMs: 0, isSuccessor: false }
/** Time that a new process needs beside its patience. */
const LAUNCH_MS = 10_000
/** Time after DRAIN_SECONDS until a replaced process is killed. */
const LAST_SECONDS_MS = 2_000

const reasonOf = ({ refusal, code, signal }: End): string =>
  refusal ?? `it ended with ${signal ?? `exit code ${code}`}`

export function createSlot({
  number,
  launch,
  silence,
  onChange,
  onRefused,
  onRestart,
  clock,
  logger,
}: SlotOptions): Slot {
  const processes = new Set<WorkerProcess>()
  const started = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  let isStopped = false
  let current: WorkerProcess | undefined
  let candidate: WorkerProcess | undefined
  /** Start of the newest process, monotonic milliseconds. */
  let begunAt = 0

  const begin = (patience: Patience): WorkerProcess => {
    const startedAt = clock.monotonic()
    begunAt = startedAt
    const process = launch(patience)
    processes.add(process)
    void process.served.then(served => served && onChange(process))
    void process.ended.then(({ code, signal }) => {
      processes.delete(process)
      const seconds = Math.round((clock.monotonic() - startedAt) / 1000)
      logger.info({ worker: number, pid: process.pid, code, signal, seconds }, 'worker.ended')
      onChange(process)
    })
    return process
  }

  /** Follows the serving process, through replacements, until it has ended. */
  const follow = async (): Promise<End> => {
    for (;;) {
      const process = current
      const end = await process?.ended
      if (current === process && candidate !== undefined && (await candidate.served)) current = candidate
      if (current === process) return end ?? { code: null, signal: null, refusal: undefined }
    }
  }

  const run = async (): Promise<void> => {
    let waitMs = FIRST_RESTART_MS
    for (let patience = AT_START; !isStopped; patience = RESTARTED) {
      current = begin(patience)
      void current.served.then(served => served && started.resolve())
      const end = await follow()
      current = undefined
      silence()
      if (isStopped) return
      if (end.refusal !== undefined && onRefused(end.refusal)) return
      if (clock.monotonic() - begunAt >= EARLY_MS) waitMs = FIRST_RESTART_MS
      logger.warn({ worker: number, reason: reasonOf(end), restart_ms: waitMs }, 'worker.restarting')
      await Promise.race([Bun.sleep(waitMs), stopped.promise])
      waitMs = Math.min(2 * waitMs, LAST_RESTART_MS)
      onRestart()
    }
  }

  /** Waits until a replaced process has drained; kills it if it does not end. */
  const handOver = async (process: WorkerProcess): Promise<void> => {
    process.send({ type: 'hand over' })
    const timer = setTimeout(process.kill, process.drainSeconds * 1000 + LAST_SECONDS_MS)
    await process.ended
    clearTimeout(timer)
  }

  const replace = async (): Promise<string | undefined> => {
    const previous = current
    // One that is about to start reads the new settings anyway.
    if (isStopped || previous === undefined || !(await previous.served)) return undefined
    const next = begin(REPLACING)
    candidate = next
    const timer = setTimeout(next.kill, REPLACING.patienceMs + LAUNCH_MS)
    const served = await next.served
    clearTimeout(timer)
    candidate = undefined
    if (!served) return reasonOf(await next.ended)
    current = next
    await handOver(previous)
    next.send({ type: 'alone' })
    return undefined
  }

  void run()

  return {
    number,
    get processes() {
      return [...processes]
    },
    get current() {
      return current
    },
    started: started.promise,
    replace,
    stop: () => {
      isStopped = true
      stopped.resolve()
    },
  }
}
