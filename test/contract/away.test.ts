import { describe, expect, test } from 'bun:test'
import { rename } from 'node:fs/promises'
import { loadConfig } from '../../src/config/config.ts'
import { StoreAway } from '../../src/errors.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'
import { draft, noting } from './store.contract.ts'

const ANN = userTopic('acme', 'ann')
const PAGE = { entries: 10, bytes: 10_000 }
const TEMPLATE = {
  id: 't',
  name: 'T',
  eventType: 'e',
  payloadTemplate: '1',
  defaultPriority: 'Normal',
  strict: false,
  createdAt: 1,
  updatedAt: 1,
} as const

/** Every operation whose answer a caller waits for. */
const OPERATIONS: Readonly<Record<string, (store: Store) => unknown>> = {
  append: ({ log }) => log.append([draft('b')]),
  open: ({ log }) => log.open(ANN),
  heads: ({ log }) => log.heads([ANN]),
  count: ({ log }) => log.count(ANN, 0),
  read: ({ log }) => log.read(ANN, 0, PAGE),
  list: ({ log }) => log.list(ANN, 0, PAGE),
  report: ({ log }) => log.report('acme', 'a', { limit: 1 }),
  totals: ({ log }) => log.totals(),
  ack: ({ acks }) => acks.ack(ANN, ['a']),
  ackThrough: ({ acks }) => acks.ackThrough(ANN, { epoch: 'e', seq: 1 }),
  redeliver: ({ acks }) => acks.redeliver(ANN, { epoch: 'e', seq: 1 }, 3),
  create: ({ templates }) => templates.create('acme', TEMPLATE, 10),
  get: ({ templates }) => templates.get('acme', 't'),
  templates: ({ templates }) => templates.list('acme', '', PAGE),
  update: ({ templates }) => templates.update('acme', 't', { name: 'U', updatedAt: 2 }),
  delete: ({ templates }) => templates.delete('acme', 't'),
  reserve: ({ idempotency }) =>
    idempotency.reserve({ tenant: 'acme', key: 'k', fingerprint: 'f', id: crypto.randomUUID() }),
  revoke: ({ revocations }) => revocations.revoke(ANN, 1, Date.now() + 60_000),
  before: ({ revocations }) => revocations.before(ANN),
}

/** How each operation ends; an error is given by the name of its class. */
async function endsOf(store: Store): Promise<Readonly<Record<string, string>>> {
  const ended = Object.entries(OPERATIONS).map(async ([name, ask]) => {
    try {
      await ask(store)
      return [name, 'answered'] as const
    } catch (error) {
      return [name, error instanceof StoreAway ? 'away' : String(error)] as const
    }
  })
  return Object.fromEntries(await Promise.all(ended))
}

async function open(storeUrl: string): Promise<Store> {
  const { config } = loadConfig({ STORE_URL: storeUrl, QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  const faults: unknown[] = []
  const store = await openStore({
    settings: config,
    clock: systemClock,
    observer: noting(),
    onAway: () => {},
    onWarning: () => {},
    onFault: error => faults.push(error),
  })
  await eventually(store.isUp)
  await store.log.append([draft('a')])
  return store
}

const WRITES = ['append', 'create', 'reserve', 'revoke']

describe('every call to a store that is away is answered or rejects with StoreAway', () => {
  test('a store whose file was moved rejects writes with StoreAway', async () => {
    await using place = await storePlace()
    await using store = await open(place.url)
    await rename(place.path, `${place.path}.moved`)
    const ends = await endsOf(store)
    expect(Object.values(ends).filter(end => end !== 'answered' && end !== 'away')).toEqual([])
    expect(WRITES.map(name => ends[name])).toEqual(WRITES.map(() => 'away'))
    await rename(`${place.path}.moved`, place.path)
  }, 20_000)

  for (const [what, lose] of [
    ['a store whose Redis does not answer rejects writes with StoreAway', 'freeze'],
    ['a store whose connection to Redis was cut rejects writes with StoreAway', 'cut'],
  ] as const)
    test(what, async () => {
      await using redis = await startRedis()
      await using line = await startProxy(redis.port)
      await using store = await open(`redis://127.0.0.1:${line.port}/0`)
      line[lose]()
      if (lose === 'cut') await redis[Symbol.asyncDispose]()
      const ends = await endsOf(store)
      expect(Object.values(ends).filter(end => end !== 'answered' && end !== 'away')).toEqual([])
      expect(WRITES.map(name => ends[name])).toEqual(WRITES.map(() => 'away'))
      if (lose === 'freeze') line.thaw()
    }, 20_000)

  test('the memory store is never away', async () => {
    await using store = await open('memory:')
    const ends = await endsOf(store)
    expect(Object.values(ends).filter(end => end !== 'answered')).toEqual([])
  })
})
