import type { Snapshot } from '../observe/exposition.ts'
import { type Fleet, fleetMetrics } from '../observe/fleet.ts'
import type { FromWorker, StartMessage, ToWorker } from './messages.ts'
import { nodeIdOf } from './share.ts'

/** How the supervisor ends a worker. */
export type Ending = 'drain' | 'hand over' | 'orphaned'

/** The supervisor, as one of its workers sees it. */
export interface SupervisorLink {
  readonly start: StartMessage
  readonly fleet: Fleet
  readonly ending: Promise<Ending>
  /** Resolves when the supervisor has gone. */
  readonly orphaned: Promise<void>
  /** Waits as long as the supervisor allows. Rejects if the worker must not serve then. */
  untilReady(isReady: () => boolean): Promise<void>
  /** False until the process that this one replaces has ended. */
  isAlone(): boolean
  serving(drainSeconds: number): void
  /** Answers requests for the metrics of this worker from now on. */
  reportBy(read: () => Promise<Snapshot>): void
  report(metrics: Snapshot): Promise<void>
  /** Resolves when the supervisor has the line. */
  refuse(line: string): Promise<void>
}

const LOOK_MS = 20
/** Longer than the supervisor waits for the other workers. */
const ANSWER_MS = 1_000

/** Connects to the supervisor that started this process. Rejects in a process that a person started. */
export async function connectToSupervisor(): Promise<SupervisorLink> {
  if (process.send === undefined) throw new Error('worker: expected to be started by the service (WORKERS)')
  const started = Promise.withResolvers<StartMessage>()
  const ending = Promise.withResolvers<Ending>()
  const orphaned = Promise.withResolvers<void>()
  let running = 0
  let isEnding = false
  let areAllEnding = false
  let isAlone = false
  let asked: PromiseWithResolvers<readonly Snapshot[]> | undefined
  let read: (() => Promise<Snapshot>) | undefined

  /** Resolves when the message is on its way. */
  const send = (message: FromWorker): Promise<void> =>
    new Promise(resolve => {
      if (!process.connected) return resolve()
      process.send?.(message, undefined, undefined, () => resolve())
    })
  const endBy = (way: Ending): void => {
    isEnding = true
    areAllEnding = way !== 'hand over'
    ending.resolve(way)
  }
  const report = async (): Promise<void> => {
    if (read !== undefined) await send({ type: 'report', metrics: await read() })
  }

  const receive = (message: ToWorker): void => {
    switch (message.type) {
      case 'start':
        started.resolve(message)
        break
      case 'running':
        running = message.running
        break
      case 'report':
        void report()
        break
      case 'others':
        asked?.resolve(message.snapshots)
        asked = undefined
        break
      case 'alone':
        isAlone = true
        break
      case 'drain':
      case 'hand over':
        endBy(message.type)
    }
  }
  process.on('message', receive)
  process.on('disconnect', () => {
    orphaned.resolve()
    endBy('orphaned')
  })

  const start = await Promise.race([started.promise, ending.promise])
  if (typeof start === 'string') throw new Error('worker: the service ended before this worker started')
  const worker = String(start.worker)
  const numbers = Array.from({ length: start.count }, (_, n) => n + 1)
  const siblings = new Set(numbers.map(number => nodeIdOf(start.fixed['NODE_ID'] ?? '', number)))

  /** The supervisor does not answer: only this worker is known to run. */
  const alone = (): readonly Snapshot[] => {
    const up = Object.fromEntries(numbers.map(number => [number, Number(number === start.worker)]))
    return [fleetMetrics({ up, restarts: 0, linesDropped: 0 })]
  }

  return {
    start,
    ending: ending.promise,
    orphaned: orphaned.promise,
    fleet: {
      worker,
      configured: start.count,
      get running() {
        return running
      },
      endsToo: node => areAllEnding && siblings.has(node),
      others: async own => {
        if (asked === undefined) {
          asked = Promise.withResolvers()
          void send({ type: 'others', own })
        }
        return (await Promise.race([asked.promise, Bun.sleep(ANSWER_MS)])) ?? alone()
      },
    },
    untilReady: async isReady => {
      const until = performance.now() + start.patienceMs
      while (!isReady() && !isEnding) {
        if (performance.now() >= until && !start.isSuccessor) return
        if (performance.now() >= until)
          throw new Error(`the store or the bus was not available within ${start.patienceMs / 1000} s`)
        await Bun.sleep(LOOK_MS)
      }
    },
    isAlone: () => isAlone || !start.isSuccessor,
    serving: drainSeconds => void send({ type: 'serving', drainSeconds }),
    reportBy: by => {
      read = by
    },
    report: metrics => send({ type: 'report', metrics }),
    refuse: line => send({ type: 'refused', line }),
  }
}
