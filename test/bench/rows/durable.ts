import { openPlace, type StoreKind } from '../place.ts'
import { atLeast, atMost, type Case, type Figures, type Goals, type Row, windowOf } from '../row.ts'

const CALLERS = 64
const USERS = 1_000
const PER_SECOND = 'requests/s'
const PER_CPU_SECOND = 'requests per CPU-second'

interface DurableOptions {
  readonly name: string
  readonly store: StoreKind
  readonly control: string
  readonly ratio: number
}

/** Sends to disconnected users, each stored as durably as promised before the answer. */
const durable = ({ name, store, control, ratio }: DurableOptions): Case => ({
  name,
  control,
  env: { QUEUE_ENABLED: 'true' },
  goals: { [PER_SECOND]: atLeast(ratio) },
  run: async ({ start, load }) => {
    await using place = await openPlace(store)
    const server = await start({ env: { STORE_URL: place.url } })
    const loaded = await load(server, {
      mode: 'flow',
      clients: 0,
      users: USERS,
      target: 'user',
      senders: CALLERS,
    })
    const { seconds, cpu, answered, busy } = windowOf(loaded)
    return { [PER_SECOND]: answered / seconds, [PER_CPU_SECOND]: answered / cpu, 'loader busy': busy }
  },
})

/** Compares with a control without storage and one that writes as much. The best other service reaches 0.49 of the first with a Redis history and no sync. */
export const sendStored: Row = {
  name: 'send-stored',
  cases: [
    durable({ name: 'sqlite, an fsync before each answer', store: 'sqlite', control: 'send', ratio: 0.55 }),
    durable({ name: 'sqlite, beside the same tables', store: 'sqlite', control: 'durable', ratio: 0.5 }),
    durable({ name: 'redis, synced once a second', store: 'redis', control: 'send', ratio: 0.55 }),
    durable({ name: 'redis, beside the same script', store: 'redis', control: 'lua', ratio: 0.5 }),
  ],
}

const LISTENERS = 1_000
const LIVE_PER_SECOND = 20
const STORED_PER_SECOND = 2_000
const P99 = 'p99 ms'

/** Live deliveries beside sends to disconnected users. */
const beside = (store: StoreKind): Case => ({
  name: `${store} store`,
  control: 'send',
  env: { QUEUE_ENABLED: 'true' },
  goals: {},
  run: async ({ start, load }) => {
    await using place = await openPlace(store)
    const server = await start({ env: { STORE_URL: place.url } })
    const [live] = await Promise.all([
      load(server, {
        mode: 'flow',
        clients: LISTENERS,
        target: 'broadcast',
        senders: 4,
        rate: LIVE_PER_SECOND,
      }),
      load(server, {
        mode: 'flow',
        clients: 0,
        users: USERS,
        target: 'user',
        senders: CALLERS,
        rate: STORED_PER_SECOND,
      }),
    ])
    return { [P99]: windowOf(live).p99 }
  },
})

const RATIO = 'p99 with sqlite / with memory'
const GOALS: Goals = { [RATIO]: atMost(1.5, 'ours') }
const p99Of = (cases: ReadonlyMap<string, Figures>, store: StoreKind): number =>
  cases.get(`${store} store`)?.[P99] ?? Number.NaN

/** Measures whether storing delays connected users. */
export const liveDurable: Row = {
  name: 'live-durable',
  cases: [beside('memory'), beside('sqlite')],
  derived: {
    goals: GOALS,
    of: cases => ({ [RATIO]: p99Of(cases, 'sqlite') / p99Of(cases, 'memory') }),
  },
}
