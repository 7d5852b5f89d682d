import { heapStats } from 'bun:jsc'
import { describe, expect, spyOn, test } from 'bun:test'
import type { Cursor } from '../../src/notification/cursor.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { memoryIdempotency } from '../../src/store/memory/idempotency.ts'
import { memoryStore } from '../../src/store/memory/memory.ts'
import { memoryRevocations } from '../../src/store/memory/revocations.ts'
import type { Draft, StoreLimits, StoreObserver } from '../../src/store/store.ts'
import { claim, idempotencyContract } from './idempotency.contract.ts'
import { revocationsContract } from './revocations.contract.ts'
import { draft, fakeClock, noting, seqs, storeContract } from './store.contract.ts'
import { template } from './templates.contract.ts'

storeContract('memory', async options => memoryStore(options))
revocationsContract('memory', async options => memoryStore(options))
idempotencyContract('memory', async options => memoryStore(options))

const DAY = 86_400_000
const LIMITS: StoreLimits = {
  maxEntries: 100,
  retentionMs: 60_000,
  cleanupMs: 300_000,
  acknowledged: false,
  maxReports: 1_000,
  maxBytes: 0,
  tenantMaxBytes: 0,
  maxRevocations: 10_000,
  idempotencyTtlMs: 86_400_000,
}
const SILENT: StoreObserver = {
  tracked: () => {},
  acked: () => {},
  gaveUp: () => {},
  left: () => {},
  resumed: () => {},
}
const ANN = userTopic('acme', 'ann')
const BOB = userTopic('acme', 'bob')

/** Garbage of earlier tests may outlive the first collection, so the smallest of three sizes counts. */
const heap = async (): Promise<number> => {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 3; round++) {
    await new Promise(setImmediate)
    Bun.gc(true)
    least = Math.min(least, heapStats().heapSize)
  }
  return least
}

describe('memory: cleanup', () => {
  /** `cleanUp` runs the work of the store's timer. */
  const start = (limits: Partial<StoreLimits> = {}) => {
    const clock = fakeClock()
    const spy = spyOn(globalThis, 'setInterval')
    const store = memoryStore({ limits: { ...LIMITS, ...limits }, clock, observer: noting() })
    const { calls, results } = spy.mock
    const at = calls.findIndex(([, ms]) => ms === LIMITS.cleanupMs)
    const [handler] = calls[at] ?? []
    const timers = results.map(({ value }) => value as NodeJS.Timeout)
    spy.mockRestore()
    const cleanUp = async (turns = 10): Promise<void> => {
      if (typeof handler === 'function') handler()
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    }
    const append = async (given: Draft): Promise<Cursor | undefined> =>
      (await store.log.append([given]))[0]?.cursor
    return {
      clock,
      log: store.log,
      append,
      cleanUp,
      timers,
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    }
  }

  test('cleanup forgets a log 30 days after its last append, and the next log has a new epoch', async () => {
    await using store = start()
    const { log, append, clock, cleanUp } = store
    const first = await append(draft('a'))
    clock.time += 30 * DAY
    await cleanUp()
    expect<Cursor | undefined>((await log.open(ANN)).head).toEqual(first)

    clock.time += 1
    await cleanUp()
    const { head, removedThrough } = await log.open(ANN)
    expect([head.seq, removedThrough]).toEqual([0, 0])
    expect(head.epoch).not.toBe(first?.epoch)
    expect(await append(draft('b'))).toEqual({ epoch: head.epoch, seq: 1 })
  })

  test('other logs keep their epoch when cleanup forgets a log', async () => {
    await using store = start()
    const { log, append, clock, cleanUp } = store
    const ann = await append(draft('a'))
    clock.time += DAY
    const bob = await append(draft('b', { owner: BOB }))
    clock.time += 29 * DAY + 1
    await cleanUp()
    expect((await log.open(ANN)).head.epoch).not.toBe(ann?.epoch)
    expect<Cursor | undefined>((await log.open(BOB)).head).toEqual(bob)
  })

  test('cleanup forgets no log with a retained entry', async () => {
    await using store = start({ retentionMs: 90 * DAY })
    const { log, append, clock, cleanUp } = store
    await append(draft('a'))
    clock.time += 31 * DAY
    await cleanUp()
    expect(await seqs(log)).toEqual([1])
  })

  test('the 30 days count from the last append', async () => {
    await using store = start()
    const { log, append, clock, cleanUp } = store
    await append(draft('a'))
    clock.time += 20 * DAY
    await append(draft('b'))
    clock.time += 20 * DAY
    await cleanUp()
    expect((await log.open(ANN)).head.seq).toBe(2)
  })

  test('cleanup removes ended entries without any read and frees most of the memory of a log', async () => {
    await using store = start()
    const { log, append, clock, cleanUp } = store
    const before = await heap()
    for (let i = 0; i < 5_000; i++)
      await append(draft('a', { owner: userTopic('acme', `${i}`), body: `${i}`.padEnd(5_000) }))
    expect((await heap()) - before).toBeGreaterThan(25_000_000)
    clock.time += LIMITS.retentionMs + 1_000
    await cleanUp()
    expect(((await heap()) - before) / 5_000).toBeLessThan(600)
    expect((await log.open(userTopic('acme', '7'))).head.seq).toBe(1)
  })

  test('cleanup forgets the notifications that have left all logs and are older than the retention', async () => {
    await using store = start()
    const { log, append, clock, cleanUp } = store
    const isKnown = async (id: string): Promise<boolean> =>
      (await log.report('acme', id, { limit: 1 })) !== undefined
    await log.append([draft('a', { expiresAt: clock.time }), draft('a', { owner: BOB })])
    for (let n = 0; n < 3_000; n++) await append(draft(`n${n}`, { expiresAt: clock.time }))
    clock.time += LIMITS.retentionMs
    await append(draft('young'))
    await cleanUp()
    expect([await isKnown('a'), await isKnown('n2999'), await isKnown('n0')]).toEqual([true, true, false])

    clock.time += 1_000
    await cleanUp()
    expect([await isKnown('a'), await isKnown('n2999'), await isKnown('young')]).toEqual([false, false, true])
  })

  test('cleanup visits every log, in several turns of the event loop', async () => {
    await using store = start()
    const { log, clock, cleanUp } = store
    const owners = Array.from({ length: 2_500 }, (_, i) => userTopic('acme', `${i}`))
    const [first] = await log.append(owners.map(owner => draft('a', { owner })))
    expect(await log.totals()).toMatchObject({ messages: 2_500, users: 2_500 })
    clock.time += 31 * DAY
    await cleanUp()
    const heads = await Promise.all(owners.map(owner => log.open(owner)))
    expect(heads.filter(({ head }) => head.epoch === first?.cursor.epoch)).toEqual([])
  })

  test('cleanup takes one turn of the event loop per thousand logs that end at once', async () => {
    await using store = start()
    const { log, clock, cleanUp } = store
    const owners = Array.from({ length: 20_000 }, (_, n) => userTopic('acme', `${n}`))
    await log.append(owners.map(owner => draft('a', { owner })))
    clock.time += LIMITS.retentionMs + 1_000
    await cleanUp(1)
    // `totals` itself removes a thousand entries.
    const { messages } = await log.totals()
    expect(messages).toBeGreaterThan(20_000 - 5_000)
    await cleanUp(30)
    expect(await log.totals()).toMatchObject({ messages: 0, users: 0 })
  })

  test('the cleanup timer keeps no process alive and stops with the store', async () => {
    const spy = spyOn(globalThis, 'clearInterval')
    const { timers, ...store } = start()
    expect(timers.map(timer => timer.hasRef())).toEqual([false, false])
    await store[Symbol.asyncDispose]()
    expect(spy.mock.calls).toEqual(timers.map(timer => [timer]))
    spy.mockRestore()
  })

  test('cleanup keeps pace with appends: memory stays near the size of the unexpired entries', async () => {
    await using store = start()
    const { log, clock } = store
    let most = 0
    // Only appends: the timers of the store never fire.
    for (let n = 0; n < 50_000; n++) {
      clock.time += 1
      const owner = userTopic('acme', `${n}`)
      await log.append([draft(`${n}`, { owner, expiresAt: clock.time + 1_000 })])
      if (n % 1_000 === 999) most = Math.max(most, (await log.totals()).messages)
    }
    expect(most).toBeLessThan(2_000)
  })
})

describe('memory: bounded heap', () => {
  /** Bytes that stay in the heap after all these appends. */
  const growth = async (
    limits: Partial<StoreLimits>,
    appends: Iterable<Draft>,
    wait = 0,
  ): Promise<number> => {
    const clock = fakeClock()
    await using store = memoryStore({ limits: { ...LIMITS, ...limits }, clock, observer: SILENT })
    const before = await heap()
    for (const each of appends) {
      clock.time += wait
      await store.log.append([each])
    }
    const after = await heap()
    expect(await store.log.count(ANN, 0)).toBeGreaterThan(0)
    return after - before
  }

  function* many(count: number, given: (index: number) => Partial<Draft>): Generator<Draft> {
    for (let i = 0; i < count; i++) yield draft(`n${i}`, given(i))
  }

  test('the heap stays bounded with one Critical entry before a flood of Low entries', async () => {
    const flood = many(200_000, i => ({ priority: i === 0 ? 'Critical' : 'Low' }))
    expect(await growth({}, flood)).toBeLessThan(2_000_000)
  })

  test('the heap stays bounded with one long-lived entry before a flood of entries that expire', async () => {
    const { time } = fakeClock()
    const flood = many(200_000, i => (i === 0 ? {} : { expiresAt: time + i + 50 }))
    expect(await growth({ maxEntries: 1_000_000, retentionMs: DAY }, flood, 1)).toBeLessThan(2_000_000)
  })

  test('the heap stays bounded when overflow evicts entries with a long ttl', async () => {
    const far = fakeClock().time + 50_000
    const flood = many(200_000, i => ({
      expiresAt: far - (i % 1_000),
      priority: i % 2 === 0 ? 'High' : 'Low',
    }))
    expect(await growth({}, flood)).toBeLessThan(2_000_000)
  })

  test('a body cut from a request does not keep the request', async () => {
    function* cut(): Generator<Draft> {
      for (let i = 0; i < 100; i++) {
        const request = Buffer.from('z'.repeat(100_000) + i).toString()
        yield draft(`n${i}`, { body: `{"payload":${request.slice(50, 250)}` })
      }
    }
    expect(await growth({}, cut())).toBeLessThan(2_000_000)
  })

  test('a template cut from a request does not keep the request', async () => {
    await using store = memoryStore({ limits: LIMITS, clock: fakeClock(), observer: noting() })
    const cut = (n: number): string =>
      Buffer.from('z'.repeat(100_000) + n)
        .toString()
        .slice(50, 250)
    const before = await heap()
    for (let n = 0; n < 100; n++) {
      await store.templates.create('acme', template(`${n}`, { payloadTemplate: cut(n) }), 100)
      await store.templates.update('acme', `${n}`, { payloadTemplate: cut(n), updatedAt: 1 })
    }
    expect((await heap()) - before).toBeLessThan(2_000_000)
  })
})

describe('memory: keys', () => {
  const id = '11111111-1111-4111-8111-111111111111'
  const many = (count: number) => Array.from({ length: count }, (_, n) => claim({ key: `${n}`, id }))

  test('the oldest keys are dropped when there are too many records', async () => {
    const keys = memoryIdempotency(fakeClock(), DAY, { records: 3, bytes: 1_000_000 })
    for (const each of many(4)) await keys.reserve(each)
    const types = await Promise.all([3, 2, 1, 0].map(n => keys.reserve(claim({ key: `${n}`, id }))))
    expect(types.map(({ type }) => type)).toEqual(['in_progress', 'in_progress', 'in_progress', 'reserved'])
  })

  test('the oldest keys are dropped when keys and answers take too many bytes', async () => {
    const keys = memoryIdempotency(fakeClock(), DAY, { records: 1_000, bytes: 10_000 })
    for (const each of many(10)) await keys.reserve(each)
    for (const each of many(10)) keys.answer(each, 'x'.repeat(1_500))
    const types = await Promise.all(many(10).map(each => keys.reserve(each)))
    expect(types.filter(({ type }) => type === 'answered').length).toBeLessThan(7)
  })

  test('200,000 keys take at most 64 MiB', async () => {
    const keys = memoryIdempotency(fakeClock(), DAY)
    const before = await heap()
    for (let n = 0; n < 300_000; n++) {
      const each = claim({ key: `key-${n}`, id: crypto.randomUUID(), fingerprint: 'f'.repeat(43) + n })
      await keys.reserve(each)
      keys.answer(each, `{"n":${n}}`.padEnd(200))
    }
    expect(
      (await keys.reserve(claim({ key: 'key-299999', fingerprint: `${'f'.repeat(43)}299999` }))).type,
    ).toBe('answered')
    expect((await keys.reserve(claim({ key: 'key-0' }))).type).toBe('reserved')
    expect((await heap()) - before).toBeLessThan(1.6 * 64 * 1024 * 1024)
  }, 30_000)
})

describe('memory: bodies', () => {
  test('a page returns each body as it was sent: long or short, ASCII or not, shared or not', async () => {
    await using store = memoryStore({ limits: LIMITS, clock: fakeClock(), observer: SILENT })
    // Together more than is decoded at once, and more than stays decoded.
    const sizes = [0, 1, 300, 100_000, 200_000, 300_000, 600_000, 300]
    const bodies = sizes.flatMap((size, n) => ['x', 'é', '語'].map(letter => `${n}`.padEnd(size, letter)))
    for (const [n, body] of bodies.entries()) {
      await store.log.append([ANN, BOB].map(owner => draft(`shared-${n}`, { owner, body })))
      await store.log.append([draft(`own-${n}`, { owner: ANN, body: `own ${body}` })])
    }
    const expected = bodies.flatMap(body => [body, `own ${body}`])
    for (let round = 0; round < 2; round++) {
      const page = await store.log.read(ANN, 0, { entries: 1_000, bytes: 1e9 })
      expect(page.entries.map(({ body }) => body)).toEqual(expected)
      const others = await store.log.read(BOB, 0, { entries: 1_000, bytes: 1e9 })
      expect(others.entries.map(({ body }) => body)).toEqual(bodies)
    }
  })
})

describe('memory: revocations', () => {
  test('a revocation ends after elapsed time, even if the wall clock is set forward and back', async () => {
    let [now, passed] = [1_700_000_000_000, 0]
    const clock = { now: () => now, monotonic: () => passed }
    const revocations = memoryRevocations({ clock, maxPerTenant: 2 })
    await revocations.revoke(ANN, 1_000, now + DAY)
    now += 2 * DAY
    await revocations.revoke(BOB, 2_000, now + DAY)
    expect(revocations.before(ANN)).toBe(1_000)
    now -= 2 * DAY
    passed += DAY
    expect([ANN, BOB].map(revocations.before)).toEqual([1_000, 2_000])
    passed += 1
    expect([ANN, BOB].map(revocations.before)).toEqual([undefined, undefined])
  })

  test('revocations from an earlier run are all in force, even beyond the bound of a tenant', async () => {
    const clock = fakeClock()
    const recorded = Array.from({ length: 5 }, (_, n) => ({
      owner: userTopic('acme', `${n}`),
      before: n,
      until: clock.time + 1_000 + n,
    }))
    const revocations = memoryRevocations({ clock, maxPerTenant: 3, recorded })
    expect(recorded.map(({ owner }) => revocations.before(owner))).toEqual([0, 1, 2, 3, 4])
    expect(await revocations.revoke(ANN, 1, clock.time + 2_000)).toBe('full')
    clock.time += 1_003
    expect(await revocations.revoke(ANN, 1, clock.time + 2_000)).toBe('revoked')
  })
})
