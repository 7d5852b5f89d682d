import { startCentrifugo } from '../centrifugo.ts'
import type { LoadOptions, Window } from '../load.ts'
import { atLeast, type Bench, type Case, type Row, windowOf } from '../row.ts'
import type { LoadTarget } from '../server.ts'
import { startWorkers } from '../workers.ts'
import { connectLoad } from './connect.ts'
import { saturatedLoad } from './fan-out.ts'
import { sendLoad } from './send.ts'

/** A fresh process, loaded at once. */
const FRESH = { warm: 0, measure: 4 }
const LOG_OFF = { QUEUE_ENABLED: 'false', STORE_URL: 'memory:' }

interface Comparison {
  readonly name: string
  readonly load: LoadOptions
  readonly unit: string
  readonly of: (window: Window) => number
  readonly env?: Readonly<Record<string, string>>
  /** Both keep the notifications of users who are away. */
  readonly keeps?: boolean
  readonly cores?: 1 | 2
}

function startSide(
  bench: Bench,
  { env = LOG_OFF, keeps = false, cores = 1 }: Comparison,
): Promise<LoadTarget & AsyncDisposable> {
  if (bench.side === 'control') return startCentrifugo(bench, { cores, keeps })
  return cores === 2 ? startWorkers(bench, 2, env) : bench.start({ env })
}

const beside = (comparison: Comparison): Case => {
  const { name, load, unit, of } = comparison
  return {
    name,
    goals: { [`${unit}/s`]: atLeast(1), [`${unit} per CPU-second`]: atLeast(1) },
    run: async bench => {
      await using server = await startSide(bench, comparison)
      const wire = bench.side === 'control' ? { transport: 'centrifugo' as const } : {}
      const window = windowOf(await bench.load(server, { ...load, ...wire }))
      const { seconds, cpu } = window
      return { [`${unit}/s`]: of(window) / seconds, [`${unit} per CPU-second`]: of(window) / cpu }
    },
  }
}

const SENDS = { unit: 'requests', of: ({ answered }: Window) => answered }

/** The control of this row is Centrifugo, in turn with ours, each in a fresh process. */
export const centrifugo: Row = {
  name: 'centrifugo',
  isOnDemand: true,
  cases: [
    beside({ name: 'send, log off', load: { ...sendLoad(), ...FRESH }, ...SENDS }),
    beside({
      name: 'send, users away, kept in memory',
      load: { ...sendLoad({ away: true }), ...FRESH },
      env: { QUEUE_ENABLED: 'true' },
      keeps: true,
      ...SENDS,
    }),
    beside({
      name: 'connect, a token each',
      load: { ...connectLoad, ...FRESH },
      unit: 'connects',
      of: ({ connected }) => connected,
    }),
    beside({
      name: 'channel of 1,000, saturated',
      load: saturatedLoad,
      unit: 'deliveries',
      of: ({ received }) => received,
    }),
    beside({ name: 'send, log off, two cores', load: { ...sendLoad(), ...FRESH }, cores: 2, ...SENDS }),
  ],
}
