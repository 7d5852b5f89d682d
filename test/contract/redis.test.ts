import { afterAll, describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { redisStore } from '../../src/store/redis/redis.ts'
import { SCRIPTS } from '../../src/store/redis/scripts.ts'
import type { Store, StoreLimits } from '../../src/store/store.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'
import { idempotencyContract } from './idempotency.contract.ts'
import { revocationsContract } from './revocations.contract.ts'
import {
  countsOf,
  draft,
  fakeClock,
  LIMITS,
  noting,
  type OpenStore,
  seqs,
  storeContract,
} from './store.contract.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())
const admin = redis.client()

const SETTINGS = {
  redisCircuitBreakerFailureThreshold: 5,
  redisCircuitBreakerSuccessThreshold: 2,
  redisCircuitBreakerResetTimeoutSeconds: 30,
  redisBackoffInitialDelayMs: 100,
  redisBackoffMaxDelayMs: 30_000,
}
const DATABASES = 16
/** A batch may time out this much too early, milliseconds. */
const TICK_MS = 50
let opened = 0

/** Milliseconds since 1970. */
const redisTime = async (): Promise<number> => {
  const [seconds, microseconds] = await admin.time()
  return Number(seconds) * 1000 + Number(microseconds) / 1000
}

/**
 * Opens a store with the test's clock: a new one, or the last one again. Connects through the proxy on `port`, if given.
 */
const open = async (
  { clock, ...options }: Parameters<OpenStore>[0],
  isNew = true,
  port = redis.port,
): Promise<Store> => {
  if (isNew) opened++
  const db = opened % DATABASES
  await admin.select(db)
  if (isNew) await admin.flushdb()
  const store = redisStore({
    address: { hosts: [{ host: '127.0.0.1', port }], tls: false, db },
    settings: SETTINGS,
    replicas: 0,
    clock: systemClock,
    testTime: clock.now,
    ...options,
  })
  await eventually(store.isUp)
  return store
}

storeContract('redis', options => open(options), { runs: 150 })
revocationsContract('redis', options => open(options))
idempotencyContract('redis', options => open(options))

describe('redis: scripts with bounded work', () => {
  const MANY = 2_500
  const ANN = userTopic('acme', 'ann')
  const ALL = { entries: 1_000, bytes: 1_000_000 }

  const start = async (limits: Partial<StoreLimits> = {}) => {
    const clock = fakeClock()
    const observer = noting()
    const store = await open({ limits: { ...LIMITS, maxEntries: MANY, ...limits }, clock, observer })
    const appended = await store.log.append(Array.from({ length: MANY }, (_, n) => draft(`n${n}`)))
    const { epoch } = appended.at(-1)?.cursor ?? { epoch: '' }
    return {
      clock,
      store,
      epoch,
      notes: observer.notes,
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    }
  }

  for (const [what, look, expected] of [
    ['open', ({ log }) => log.open(ANN).then(({ removedThrough }) => removedThrough), MANY],
    ['read', ({ log }) => log.read(ANN, 0, ALL).then(({ removedThrough }) => removedThrough), MANY],
    ['count', ({ log }) => log.count(ANN, 0), 0],
    ['totals', ({ log }) => countsOf(log), { messages: 0, users: 0 }],
  ] as const satisfies readonly (readonly [
    string,
    (store: Awaited<ReturnType<typeof start>>['store']) => Promise<unknown>,
    unknown,
  ])[])
    test(`${what} counts none of thousands of entries that end at once`, async () => {
      await using opened = await start()
      const { store, clock, notes } = opened
      clock.time += LIMITS.retentionMs + 1
      expect(await look(store)).toEqual(expected)
      await store.log.totals()
      expect(notes.filter(([told]) => told === 'left')).toHaveLength(MANY)
      expect(await seqs(store.log)).toEqual([])
    }, 20_000)

  test('thousands of ended entries make room, so that no unexpired entry is evicted', async () => {
    await using opened = await start()
    const { store, clock } = opened
    clock.time += LIMITS.retentionMs + 1
    await store.log.append(Array.from({ length: 100 }, (_, n) => draft(`new${n}`)))
    expect((await seqs(store.log)).length).toBe(100)
  })

  test('thousands of entries are acknowledged by one cursor, and a read of unsettled entries finds the one behind them', async () => {
    await using opened = await start({ acknowledged: true, maxEntries: MANY + 1 })
    const { store, epoch, notes } = opened
    expect(await store.acks.ackThrough(ANN, { epoch, seq: MANY })).toBe(MANY)
    expect(notes.filter(([told]) => told === 'acked')).toHaveLength(MANY)
    await store.log.append([draft('behind')])
    const page = await store.log.read(ANN, 0, ALL, true)
    expect(page.entries.map(({ seq }) => seq)).toEqual([MANY + 1])
    const nothing = await store.log.read(ANN, MANY + 1, ALL, true)
    expect(nothing).toMatchObject({ entries: [], through: MANY + 1 })
  })

  test('a lowered limit is reached over several appends', async () => {
    await using opened = await start()
    const lower = await open({ limits: LIMITS, clock: opened.clock, observer: noting() }, false)
    for (let n = 0; n < 20; n++) await lower.log.append([draft(`more${n}`)])
    expect(await seqs(lower.log)).toEqual([MANY + 18, MANY + 19, MANY + 20])
    await lower[Symbol.asyncDispose]()
  })

  test('one append can address ten thousand users', async () => {
    await using opened = await start()
    const { log } = opened.store
    const owners = Array.from({ length: 10_000 }, (_, n) => userTopic('acme', `u${n}`))
    const body = `{"payload":"${'x'.repeat(1_000)}"`
    const appended = await log.append(owners.map(owner => draft('a', { owner, body })))
    expect(appended.filter(({ cursor }) => cursor.seq === 1)).toHaveLength(10_000)
    expect(await countsOf(log)).toEqual({ messages: MANY + 10_000, users: 10_001 })
    const page = await log.report('acme', 'a', { after: userTopic('acme', 'u4999'), limit: 3 })
    expect(page?.recipients.map(({ owner }) => owner)).toEqual(owners.slice(5_000, 5_003))
  }, 30_000)
})

describe('redis: data from earlier versions and dead nodes', () => {
  const ANN = userTopic('acme', 'ann')
  const BOB = userTopic('acme', 'bob')
  const tag = '{acme:ann}'

  test('a log written by an earlier version continues in the same epoch', async () => {
    const clock = fakeClock()
    const options = { limits: { ...LIMITS, maxEntries: 4 }, clock, observer: noting() }
    const former = await open(options)
    const appended = await former.log.append(['a', 'b', 'c'].map(id => draft(id)))
    const { epoch } = appended[0]?.cursor ?? { epoch: '' }
    await former.log.append([draft('d', { owner: BOB })])
    await former.log.totals()
    await former[Symbol.asyncDispose]()
    // Restores the state of the earlier version: no counts, no sizes in bytes.
    await admin.hdel(`ara:head:${tag}`, 'counts')
    await admin.hdel(`ara:notes:${tag}`, 'e')
    await admin.del('ara:sizes')
    await admin.hset('ara:sizes', ANN, 3, BOB, 1, 'total', 4)

    const store = await open(options, false)
    expect(await countsOf(store.log)).toEqual({ messages: 4, users: 2 })
    const head = { epoch, seq: 3 }
    expect(await store.log.open(ANN)).toMatchObject({ head, removedThrough: 0, lostThrough: 0, bases: [] })
    expect(await seqs(store.log)).toEqual([1, 2, 3])
    const [next] = await store.log.append([draft('e', { priority: 'High' })])
    expect(next?.cursor).toEqual({ epoch, seq: 4 })
    await store.log.append([draft('f')])
    expect(await seqs(store.log)).toEqual([2, 3, 4, 5])
    expect(await countsOf(store.log)).toEqual({ messages: 5, users: 2 })
    await store[Symbol.asyncDispose]()
  })

  test('another node cleans the logs that a dead node had leased', async () => {
    const clock = fakeClock()
    const observer = noting()
    const store = await open({ limits: LIMITS, clock, observer })
    await store.log.append([draft('a'), draft('b', { owner: BOB })])
    clock.time += LIMITS.retentionMs + 1
    // The last step of the dead node.
    const { text } = SCRIPTS.take
    const taken = await admin.eval(text, 2, 'ara:due', 'ara:leased:{ara:due}', clock.time, 100, 30_000)
    expect(taken).toEqual([ANN, BOB])
    // Removes the log from the table of all users too: it would reveal the log.
    await admin.del('ara:sizes')
    await store.log.totals()
    expect(observer.notes).toEqual([])
    clock.time += 30_001
    await store.log.totals()
    expect(observer.notes.map(([told, owner]) => [told, owner])).toEqual([
      ['left', ANN],
      ['left', BOB],
    ])
    expect(await admin.exists('ara:due', 'ara:leased:{ara:due}')).toBe(0)
    await store[Symbol.asyncDispose]()
  })
})

describe('redis: errors and outages', () => {
  test('an unexpected reply is no outage, and unreadable data is mended', async () => {
    const store = await open({ limits: LIMITS, clock: fakeClock(), observer: noting() })
    await store.log.append([draft('a')])
    await admin.hset('ara:notes:{acme:ann}', '1', 'no entry')
    const owner = userTopic('acme', 'ann')
    const fault = await store.log.list(owner, 0, { entries: 1, bytes: 1 }).catch(error => error)
    expect(fault).toBeInstanceOf(Error)
    expect(fault).not.toBeInstanceOf(StoreAway)
    await eventually(async () => (await store.log.open(owner)).bases.length === 1)
    expect((await store.log.append([draft('b')]))[0]).toMatchObject({ cursor: { seq: 2 } })
    await store[Symbol.asyncDispose]()
  })

  test('a refusal by Redis counts as an outage', async () => {
    const store = await open({ limits: LIMITS, clock: fakeClock(), observer: noting() })
    await admin.config('SET', 'maxmemory', '1')
    const refused = await Promise.resolve(store.log.append([draft('a')])).catch(error => error)
    await admin.config('SET', 'maxmemory', '0')
    expect(refused).toBeInstanceOf(StoreAway)
    expect(refused.message).toContain('OOM')
    expect(await seqs(store.log)).toEqual([])
    expect((await store.log.append([draft('a')]))[0]).toMatchObject({ cursor: { seq: 1 }, repeated: false })
    await store[Symbol.asyncDispose]()
  })

  test('scripts that Redis has forgotten are sent again', async () => {
    const store = await open({ limits: LIMITS, clock: fakeClock(), observer: noting() })
    await store.log.append([draft('a')])
    await admin.script('FLUSH')
    const appended = await Promise.all(['b', 'c'].map(id => store.log.append([draft(id)])))
    expect(appended.flat().map(({ cursor }) => cursor.seq)).toEqual([2, 3])
    expect(await seqs(store.log)).toEqual([1, 2, 3])
    await store[Symbol.asyncDispose]()
  })

  test('the observer learns of an append with a lost answer when Redis answers again, and a retry appends nothing', async () => {
    await using line = await startProxy(redis.port)
    const observer = noting()
    const clock = fakeClock()
    const store = await open({ limits: LIMITS, clock, observer }, true, line.port)
    await store.log.append([draft('a')])
    line.mute()
    const lost = Promise.resolve(store.log.append([draft('b')]))
    expect(lost).rejects.toThrow('too long')
    await lost.catch(() => {})
    expect(observer.notes).toEqual([])
    line.thaw()
    await eventually(() => observer.notes.length > 0)
    expect(observer.notes).toEqual([['resumed']])
    const [again] = await store.log.append([draft('b')])
    expect(again).toMatchObject({ cursor: { seq: 2 }, repeated: true })
    expect(await seqs(store.log)).toEqual([1, 2])
    await store[Symbol.asyncDispose]()
  })

  test('an append that reaches Redis after its deadline is not carried out', async () => {
    await using line = await startProxy(redis.port)
    const store = await open({ limits: LIMITS, clock: fakeClock(), observer: noting() }, true, line.port)
    await store.log.append([draft('a')])
    line.freeze()
    const late = Promise.resolve(store.log.append([draft('b')]))
    const elapsed = startStopwatch()
    expect(late).rejects.toThrow('too long')
    await late.catch(() => {})
    expect(elapsed()).toBeLessThan(1_000)
    // The caller is told slightly before the deadline.
    const told = await redisTime()
    await eventually(async () => (await redisTime()) > told + TICK_MS)
    line.thaw()
    const [next] = await store.log.append([draft('c')])
    expect(next).toMatchObject({ cursor: { seq: 2 }, repeated: false })
    await store[Symbol.asyncDispose]()
  })

  test('notes made during an outage of Redis are written when it returns', async () => {
    await using line = await startProxy(redis.port)
    const store = await open({ limits: LIMITS, clock: fakeClock(), observer: noting() }, true, line.port)
    const [{ cursor } = { cursor: { epoch: '', seq: 0 } }] = await store.log.append([draft('a')])
    line.freeze()
    line.cut()
    await eventually(() => !store.isUp())
    const owner = userTopic('acme', 'ann')
    store.log.handed(owner, cursor.epoch, [1])
    store.log.received(owner, cursor)
    await Bun.sleep(300)
    line.thaw()
    await eventually(store.isUp)
    await eventually(async () => (await store.log.open(owner)).received === 1)
    expect((await store.log.report('acme', 'a', { limit: 1 }))?.recipients).toMatchObject([
      { state: 'received', attempts: 1 },
    ])
    await store[Symbol.asyncDispose]()
  })
})
