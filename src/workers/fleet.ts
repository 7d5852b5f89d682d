import type { LineWriter } from '../lib/system/line-writer.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Snapshot } from '../observe/exposition.ts'
import type { Logger } from '../observe/log.ts'
import { collectMetrics } from './collect.ts'
import { createEndedTotals } from './ended-totals.ts'
import type { StartMessage, ToWorker } from './messages.ts'
import type { Ports } from './ports.ts'
import { createSlot, type Slot } from './slot.ts'
import { launchWorker, type WorkerProcess } from './worker-process.ts'

/** All workers, as the supervisor keeps them. */
export interface WorkerFleet {
  /** Resolves when every worker serves. */
  readonly started: Promise<void>
  /** Resolves with the line of a worker that cannot start, while none of them serves. */
  readonly refused: Promise<string>
  /** Replaces one worker after the other. Resolves with the reason if one cannot be replaced; the rest stays then. */
  replaceAll(): Promise<{ readonly worker: number; readonly reason: string } | undefined>
  /** Drains all of them at once; resolves when they have ended, at the latest a second after DRAIN_SECONDS. */
  drain(): Promise<void>
  kill(): void
}

interface FleetOptions {
  readonly count: number
  readonly ports: Ports
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Settings that all workers share. */
  readonly start: Pick<StartMessage, 'given' | 'fixed' | 'secret' | 'links' | 'colours'>
  readonly drainSeconds: number
  readonly out: LineWriter
  readonly clock: Clock
  readonly logger: Logger
}

/** Time after DRAIN_SECONDS in which workers end; the rest of the second is for the supervisor. */
const LAST_SECOND_MS = 960

export function createFleet({
  count,
  ports,
  command,
  env,
  start,
  drainSeconds,
  out,
  clock,
  logger,
}: FleetOptions): WorkerFleet {
  const refused = Promise.withResolvers<string>()
  const endedTotals = createEndedTotals()
  let restarts = 0
  let hasStarted = false

  const all = (): readonly WorkerProcess[] => slots.flatMap(({ processes }) => processes)
  const running = (): number => slots.filter(({ current }) => current?.isServing).length
  const tell = (message: ToWorker): void => {
    for (const process of all()) process.send(message)
  }

  const collect = async (asker: WorkerProcess): Promise<void> => {
    const { snapshot: ended } = endedTotals
    const snapshots: readonly Snapshot[] = await collectMetrics({
      slots,
      asker,
      ended,
      restarts,
      linesDropped: out.dropped,
    })
    asker.send({ type: 'others', snapshots })
  }

  const createOne = (index: number): Slot =>
    createSlot({
      number: index + 1,
      launch: patience => {
        const process = launchWorker({
          command,
          env,
          sockets: ports.socketsOf(index),
          start: { type: 'start', worker: index + 1, count, ...start, ...patience },
          onLine: out.write,
          onAsked: () => void collect(process),
        })
        return process
      },
      silence: () => ports.silence(index),
      onChange: process => {
        if (process.hasEnded && process.lastReport !== undefined) endedTotals.add(process.lastReport)
        tell({ type: 'running', running: running() })
      },
      onRefused: line => {
        // Later the others go on serving, and the next attempt may succeed.
        if (hasStarted && running() > 0) return false
        refused.resolve(line)
        for (const slot of slots) slot.stop()
        return true
      },
      onRestart: () => {
        restarts++
      },
      clock,
      logger,
    })
  const slots: readonly Slot[] = Array.from({ length: count }, (_, index) => createOne(index))
  const started = Promise.all(slots.map(slot => slot.started)).then(() => {
    hasStarted = true
  })
  const kill = (): void => {
    for (const process of all()) process.kill()
  }

  return {
    started,
    refused: refused.promise,
    replaceAll: async () => {
      for (const slot of slots) {
        const reason = await slot.replace()
        if (reason !== undefined) return { worker: slot.number, reason }
      }
      return undefined
    },
    drain: async () => {
      const seconds = Math.max(drainSeconds, ...all().map(process => process.drainSeconds))
      for (const slot of slots) slot.stop()
      tell({ type: 'drain' })
      const ended = Promise.all(all().map(process => process.ended))
      await Promise.race([ended, Bun.sleep(seconds * 1000 + LAST_SECOND_MS)])
      kill()
    },
    kill,
  }
}
