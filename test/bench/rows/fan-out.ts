import type { LoadOptions } from '../load.ts'
import {
  atLeast,
  atMost,
  type Case,
  type Figures,
  type Goals,
  plainCase,
  type Row,
  windowOf,
} from '../row.ts'

export const DELIVERIES_PER_SECOND = 50_000
export const PUBLISHERS = 16
/** Number of paced publishes; they overlap only in a server that is too slow. */
export const PACED_SENDERS = 8
export const CPU = 'CPU µs per delivery'
export const PER_CPU_SECOND = 'deliveries per CPU-second'

const SIZES = [1_000, 5_000, 10_000]
const SMALL = 'to 1,000'
const LARGE = 'to 10,000'

const goals: Goals = { [CPU]: atMost(1.15), 'p50 ms': atMost(1.2), 'p99 ms': atMost(1.3) }

/** Channel with 50,000 deliveries a second for any number of subscribers. */
const fanOutTo = (clients: number): Case =>
  plainCase({
    name: `to ${clients.toLocaleString('en')}`,
    control: 'fan-out',
    goals,
    load: {
      mode: 'flow',
      clients,
      channel: 'bench',
      target: 'channel',
      senders: PACED_SENDERS,
      rate: DELIVERIES_PER_SECOND / clients,
    },
    figures: loaded => {
      const { cpu, received, p50, p99 } = windowOf(loaded)
      return { [CPU]: (cpu * 1e6) / received, 'p50 ms': p50, 'p99 ms': p99 }
    },
  })

const growth = (cases: ReadonlyMap<string, Figures>): number =>
  (cases.get(LARGE)?.[CPU] ?? Number.NaN) / (cases.get(SMALL)?.[CPU] ?? Number.NaN)

export const fanOut: Row = {
  name: 'fanout',
  cases: SIZES.map(fanOutTo),
  // Growth with the room beyond the runtime's own growth is our cost.
  derived: {
    goals: { 'growth of CPU from 1,000 to 10,000': atMost(1) },
    of: cases => ({ 'growth of CPU from 1,000 to 10,000': growth(cases) }),
  },
}

/** As many publishes as the server answers. */
export const saturatedLoad: LoadOptions = {
  mode: 'flow',
  clients: 1_000,
  channel: 'bench',
  target: 'channel',
  senders: PUBLISHERS,
}

export const saturated: Row = {
  name: 'saturated',
  cases: [
    plainCase({
      name: 'to 1,000',
      control: 'fan-out',
      goals: { [PER_CPU_SECOND]: atLeast(0.8) },
      load: saturatedLoad,
      figures: loaded => {
        const { seconds, cpu, received } = windowOf(loaded)
        return { 'deliveries/s': received / seconds, [PER_CPU_SECOND]: received / cpu }
      },
    }),
  ],
}
