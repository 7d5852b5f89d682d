import { arriveUntil } from '../arrivals.ts'
import { atLeast, atMost, type Case, type Goals, type Row, windowOf } from '../row.ts'
import { startWorkers, workersOf } from '../workers.ts'

const CALLERS = 64
const USERS = 1_000
const PER_SECOND = 'requests/s'
const PER_CPU_SECOND = 'requests per CPU-second'

const sends = (name: string, clients: number, goals: Goals): Case => ({
  name,
  goals,
  run: async bench => {
    await using workers = await startWorkers(bench, bench.side === 'ours' ? 2 : 1)
    const loaded = await bench.load(workers, {
      mode: 'flow',
      clients,
      users: USERS,
      target: 'user',
      senders: CALLERS,
    })
    const { seconds, cpu, answered, busy } = windowOf(loaded)
    return { [PER_SECOND]: answered / seconds, [PER_CPU_SECOND]: answered / cpu, 'loader busy': busy }
  },
})

/** Two workers beside one process without a bus, log in Redis, with the load and Redis on the same cores. */
export const workers: Row = {
  name: 'workers',
  cases: [
    sends('2 beside 1, users away', 0, { [PER_CPU_SECOND]: atLeast(0.8) }),
    // Half of these sends cross to the other worker.
    sends('2 beside 1, users connected', USERS, {}),
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
