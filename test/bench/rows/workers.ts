import { arriveUntil } from '../arrivals.ts'
import type { LoadOptions, Window } from '../load.ts'
import { atLeast, atMost, type Case, type Row, windowOf } from '../row.ts'
import { startWorkers, workersOf } from '../workers.ts'
import { saturatedLoad } from './fan-out.ts'
import { sendLoad } from './send.ts'

const SENDS: Figured = { per: 'requests', of: ({ answered }) => answered }
const DELIVERIES: Figured = { per: 'deliveries', of: ({ received }) => received }
const LOG_OFF = { QUEUE_ENABLED: 'false', STORE_URL: 'memory:' }

/** Unit of the figures. */
interface Figured {
  readonly per: string
  of(window: Window): number
}

const beside = (
  name: string,
  load: LoadOptions,
  { per, of }: Figured,
  goal: number | undefined,
  env: Readonly<Record<string, string>> = {},
): Case => ({
  name,
  goals: goal === undefined ? {} : { [`${per} per CPU-second`]: atLeast(goal) },
  run: async bench => {
    await using workers = await startWorkers(bench, bench.side === 'ours' ? 2 : 1, env)
    const window = windowOf(await bench.load(workers, load))
    const { seconds, cpu, busy } = window
    return {
      [`${per}/s`]: of(window) / seconds,
      [`${per} per CPU-second`]: of(window) / cpu,
      'loader busy': busy,
    }
  },
})

/** Two workers beside one process without a bus, with the load and Redis on the same cores. */
export const workers: Row = {
  name: 'workers',
  cases: [
    // Half of the sends to connected users cross to the other worker.
    beside('2 beside 1, log off, users connected', sendLoad(), SENDS, undefined, LOG_OFF),
    beside('2 beside 1, log in Redis, users away', sendLoad({ away: true }), SENDS, 0.8),
    beside('2 beside 1, log in Redis, users connected', sendLoad(), SENDS, undefined),
    beside('2 beside 1, log off, channel of 1,000', saturatedLoad, DELIVERIES, undefined, LOG_OFF),
  ],
}

const CONNECTS_PER_SECOND = 1_000
const REFUSED = 'refused or reset of 10,000'
const SILENT = 'without an answer for 5 s'
const LIMIT_MS = 60_000

/** New connections while all workers are replaced, beside the same workers without that. */
export const sighup: Row = {
  name: 'sighup',
  cases: [
    {
      name: 'WORKERS=2, 1,000 connects a second',
      goals: { [REFUSED]: atMost(0, 'ours') },
      run: async bench => {
        await using workers = await startWorkers(bench, 2)
        const { supervisor, pids } = workers
        const { warm, measure } = bench.times
        const startedAt = performance.now()
        const isReplaced = () => !workersOf(supervisor).some(pid => pids.includes(pid))
        let hangsUp = bench.side === 'ours'
        const isOver = (): boolean => {
          const ms = performance.now() - startedAt
          if (ms > warm * 1_000 && hangsUp) {
            supervisor.kill('SIGHUP')
            hangsUp = false
          }
          if (ms > LIMIT_MS) throw new Error('the workers are not replaced')
          return ms > (warm + measure) * 1_000 && (bench.side === 'control' || isReplaced())
        }
        const port = supervisor.port
        const { accepted, refused, reset, rejected, silent } = await arriveUntil(isOver, {
          port,
          perSecond: CONNECTS_PER_SECOND,
        })
        const failed = refused + reset + rejected
        const connects = accepted + failed + silent
        return {
          [REFUSED]: (failed * 10_000) / connects,
          refused,
          reset,
          rejected,
          [SILENT]: silent,
          connects,
        }
      },
    },
  ],
}
