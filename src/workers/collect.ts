import type { Snapshot } from '../observe/exposition.ts'
import { fleetMetrics } from '../observe/fleet.ts'
import type { Slot } from './slot.ts'
import type { WorkerProcess } from './worker-process.ts'

interface CollectOptions {
  readonly slots: readonly Slot[]
  /** The process that asks. */
  readonly asker: WorkerProcess
  readonly ended: Snapshot
  readonly restarts: number
  readonly linesDropped: number
}

/** Longest wait for the metrics of a worker. */
const ANSWER_MS = 500

/** Metrics of a process that another one has replaced: that one has the series of the worker. */
const withoutOwn = (snapshot: Snapshot): Snapshot => snapshot.filter(({ ofWorker }) => !ofWorker)

/** Gathers the metrics of all processes but the one that asks. */
export async function collectMetrics({
  slots,
  asker,
  ended,
  restarts,
  linesDropped,
}: CollectOptions): Promise<readonly Snapshot[]> {
  const deadline = Bun.sleep(ANSWER_MS).then(() => undefined)
  const ask = async ({ number, current, processes }: Slot) => {
    // A replaced process shares the series of the worker with its successor: one of them has them.
    const owner = processes.includes(asker) ? asker : current
    const others = processes.filter(process => process !== asker && process.isServing)
    const reports = await Promise.all(
      others.map(async process => ({
        process,
        snapshot: await Promise.race([process.report(), deadline]),
      })),
    )
    const answered = reports.filter(({ snapshot }) => snapshot !== undefined)
    return {
      number: String(number),
      isUp: current === asker || answered.some(({ process }) => process === current),
      snapshots: answered.map(({ process, snapshot = [] }) =>
        process === owner ? snapshot : withoutOwn(snapshot),
      ),
    }
  }
  const answers = await Promise.all(slots.map(ask))
  const up = Object.fromEntries(answers.map(({ number, isUp }) => [number, Number(isUp)]))
  return [
    ...answers.flatMap(({ snapshots }) => snapshots),
    ended,
    fleetMetrics({ up, restarts, linesDropped }),
  ]
}
