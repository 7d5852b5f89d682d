import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { StoreFull } from '../../src/errors.ts'
import type { Clock } from '../../src/lib/time/clock.ts'
import type { Cursor } from '../../src/notification/cursor.ts'
import { type Topic, userTopic } from '../../src/notification/topic.ts'
import { PRIORITIES, type Priority } from '../../src/protocol/values.ts'
import type { PageLimit } from '../../src/store/page-limit.ts'
import type {
  AppendResult,
  DeliveryState,
  Draft,
  Store,
  StoreLimits,
  StoreObserver,
  Totals,
  UserLog,
} from '../../src/store/store.ts'
import { eventually } from '../support/visit.ts'
import { OVERFLOW_CASES } from './overflow.cases.ts'
import { templatesContract } from './templates.contract.ts'

export type OpenStore = (options: {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
}) => Promise<Store>

const ANN = userTopic('acme', 'ann')
const BOB = userTopic('acme', 'bob')
const CY = userTopic('acme', 'cy')

export const LIMITS: StoreLimits = {
  maxEntries: 3,
  retentionMs: 60_000,
  cleanupMs: 3_600_000,
  acknowledged: false,
  maxReports: 1_000,
  maxBytes: 0,
  tenantMaxBytes: 0,
  maxRevocations: 10_000,
  idempotencyTtlMs: 86_400_000,
}
const ALL: PageLimit = { entries: 1_000, bytes: 1_000_000 }

/** A clock that stands still until the test sets `time`. */
export function fakeClock(time = 1_700_000_000_000): Clock & { time: number } {
  const clock = { time, now: () => clock.time, monotonic: () => clock.time }
  return clock
}

export const draft = (id: string, given: Partial<Draft> = {}): Draft => ({
  owner: ANN,
  id,
  body: `{"id":"${id}"`,
  eventType: 'e',
  occurredAt: 1_700_000_000_000,
  priority: 'Normal',
  ...given,
})

/** Records all observer calls, in order. */
export function noting(): StoreObserver & { readonly notes: unknown[][] } {
  const notes: unknown[][] = []
  return {
    notes,
    tracked: (...told) => void notes.push(['tracked', ...told]),
    acked: (...told) => void notes.push(['acked', ...told]),
    gaveUp: (...told) => void notes.push(['gaveUp', ...told]),
    left: (owner, { state, unsettled, pending }) =>
      void notes.push(['left', owner, state, unsettled, pending]),
    resumed: () => void notes.push(['resumed']),
  }
}

const drafts = (count: number, given: Partial<Draft> = {}): Draft[] =>
  Array.from({ length: count }, (_, i) => draft(`${given.priority ?? 'n'}${i + 1}`, given))

/** Seqs that a reader from the start gets. */
export const seqs = async (log: UserLog, owner: Topic = ANN): Promise<number[]> =>
  (await log.read(owner, 0, ALL)).entries.map(({ seq }) => seq)

/** Totals without bytes, which each store counts by its own sizes. */
export const countsOf = async (log: UserLog): Promise<Pick<Totals, 'messages' | 'users'>> => {
  const { messages, users } = await log.totals()
  return { messages, users }
}

const NOWHERE: AppendResult = { cursor: { epoch: '', seq: 0 }, repeated: false }

const numbers = (appended: readonly AppendResult[]): number[] => appended.map(({ cursor }) => cursor.seq)

/** Waits until a receipt has taken effect, because a receipt may be late. */
async function receive(log: UserLog, owner: Topic, seq: number): Promise<void> {
  const { head } = await log.open(owner)
  log.received(owner, { epoch: head.epoch, seq })
  await taken(log, owner, seq)
}

const taken = (log: UserLog, owner: Topic, seq: number): Promise<void> =>
  eventually(async () => (await log.open(owner)).received >= seq)

/**
 * Contract that every store keeps, tested through its interface alone. `open` opens an empty store; `runs` counts random
 * sequences.
 */
export function storeContract(name: string, open: OpenStore, { runs = 1_500 } = {}): void {
  templatesContract(name, () => open({ limits: LIMITS, clock: fakeClock(), observer: noting() }))

  const start = async (limits: Partial<StoreLimits> = {}) => {
    const clock = fakeClock()
    const observer = noting()
    const store = await open({ limits: { ...LIMITS, ...limits }, clock, observer })
    const { log, acks } = store
    return {
      clock,
      log,
      acks,
      notes: observer.notes,
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    }
  }

  describe(`${name}: append`, () => {
    test('append numbers the entries of each log from 1 without gaps', async () => {
      await using opened = await start()
      const { log } = opened
      expect(numbers(await log.append([draft('a'), draft('b')]))).toEqual([1, 2])
      expect(
        numbers(await log.append([draft('c', { owner: BOB }), draft('d'), draft('e', { owner: BOB })])),
      ).toEqual([1, 3, 2])
      expect([await seqs(log), await seqs(log, BOB)]).toEqual([
        [1, 2, 3],
        [1, 2],
      ])
    })

    test('append continues the numbers after entries have ended', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append(drafts(5))
      clock.time += LIMITS.retentionMs + 1
      expect(await seqs(log)).toEqual([])
      expect(numbers(await log.append([draft('next')]))).toEqual([6])
    })

    test('two calls of append take effect in the order of the calls', async () => {
      await using opened = await start({ maxEntries: 100 })
      const { log } = opened
      const calls = Array.from({ length: 20 }, (_, i) => log.append([draft(`${i}a`), draft(`${i}b`)]))
      expect((await Promise.all(calls)).flatMap(numbers)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    })

    test('append of no drafts returns no results', async () => {
      await using opened = await start()
      expect(await opened.log.append([])).toEqual([])
    })

    test('append of a known id adds nothing and returns the first cursor', async () => {
      await using opened = await start()
      const { log } = opened
      const [first] = await log.append([draft('a')])
      const [again, other] = await log.append([
        draft('a', { body: 'other', priority: 'Critical' }),
        draft('b'),
      ])
      expect(first?.repeated).toBe(false)
      expect(again).toEqual({ cursor: { ...first?.cursor, seq: 1 } as Cursor, repeated: true })
      expect(other?.cursor.seq).toBe(2)
      expect((await log.read(ANN, 0, ALL)).entries).toEqual([
        { seq: 1, body: draft('a').body },
        { seq: 2, body: draft('b').body },
      ])
    })

    test('append adds an id only once when one call contains it twice', async () => {
      await using opened = await start()
      const appended = await opened.log.append([draft('a'), draft('a'), draft('b')])
      expect(appended.map(({ cursor, repeated }) => [cursor.seq, repeated])).toEqual([
        [1, false],
        [1, true],
        [2, false],
      ])
    })

    test('append tracks known ids per user', async () => {
      await using opened = await start()
      const { log } = opened
      const appended = await log.append([draft('a'), draft('a', { owner: BOB })])
      expect(appended.map(({ repeated }) => repeated)).toEqual([false, false])
    })

    test.each([
      ['the entry expired by its ttl', { expiresAt: fakeClock().time }, 1, 0],
      ['the entry expired by age', {}, LIMITS.retentionMs + 1, 1],
      ['overflow evicted the entry', { priority: 'Low' as const }, 0, 1],
    ])('append treats an id as new after %s', async (_, given, wait, removedThrough) => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([draft('a', given)])
      clock.time += wait
      if (wait === 0) await log.append(drafts(3, { priority: 'High' }))
      const { head } = await log.open(ANN)
      expect((await log.open(ANN)).removedThrough).toBe(removedThrough)
      const [again] = await log.append([draft('a', { priority: 'Critical' })])
      expect(again).toEqual({ cursor: { epoch: head.epoch, seq: head.seq + 1 }, repeated: false })
    })

    test('a draft that arrives expired uses up a seq and is not stored', async () => {
      await using opened = await start({ maxEntries: 2 })
      const { log, clock } = opened
      await log.append(drafts(2))
      expect(
        numbers(await log.append([draft('late', { expiresAt: clock.time - 1, priority: 'Critical' })])),
      ).toEqual([3])
      expect(await seqs(log)).toEqual([1, 2])
      expect((await log.open(ANN)).removedThrough).toBe(0)
    })

    test('append stores bodies unchanged to the last character', async () => {
      await using opened = await start()
      const { log } = opened
      const body = `{"payload":"ü€😀\\u0000${'x'.repeat(130_000)}"`
      await log.append([draft('a', { body })])
      expect((await log.read(ANN, 0, { entries: 1, bytes: 1 })).entries).toEqual([{ seq: 1, body }])
    })
  })

  describe(`${name}: open`, () => {
    test('a new user has an empty log, and open creates none', async () => {
      await using opened = await start()
      const { log } = opened
      const { head, ...rest } = await log.open(ANN)
      expect(head.epoch).toMatch(/^[A-Za-z0-9_-]{1,32}$/)
      expect(head.seq).toBe(0)
      expect(rest).toEqual({ received: 0, removedThrough: 0, lostThrough: 0, bases: [] })
      expect(await log.read(ANN, 0, ALL)).toEqual({
        epoch: head.epoch,
        entries: [],
        through: 0,
        removedThrough: 0,
      })
      expect([await log.count(ANN, 0), await countsOf(log)]).toEqual([0, { messages: 0, users: 0 }])
    })

    test('open before the first append returns the epoch that the log will have', async () => {
      await using opened = await start()
      const { log } = opened
      const { head } = await log.open(ANN)
      const [appended] = await log.append([draft('a')])
      expect(appended?.cursor).toEqual({ epoch: head.epoch, seq: 1 })
      expect((await log.open(ANN)).head).toEqual({ epoch: head.epoch, seq: 1 })
      expect((await log.read(ANN, 0, ALL)).epoch).toBe(head.epoch)
    })

    test('two stores have different epochs', async () => {
      await using one = await start()
      await using other = await start()
      expect((await one.log.open(ANN)).head.epoch).not.toBe((await other.log.open(ANN)).head.epoch)
    })

    test('the head of a log stays known for 30 days after the last append', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append(drafts(5))
      await receive(log, ANN, 4)
      const before = await log.open(ANN)
      clock.time += 30 * 86_400_000
      expect(await log.open(ANN)).toEqual({ ...before, removedThrough: 5, lostThrough: 5 })
    })
  })

  describe(`${name}: states`, () => {
    const REPORT_PAGE = { limit: 100 }
    const statesOf = async (log: UserLog, id: string, tenant = 'acme') =>
      (await log.report(tenant, id, REPORT_PAGE))?.recipients.map(
        ({ owner, state, attempts }) => `${owner.split(':')[2]} ${state} ${attempts}`,
      )

    for (const acknowledged of [false, true])
      test(`an entry is queued, then sent, with one attempt per handover, acknowledgement ${acknowledged ? 'on' : 'off'}`, async () => {
        await using opened = await start({ acknowledged })
        const { log, notes, clock } = opened
        const at = clock.time
        const [{ cursor } = NOWHERE] = await log.append([draft('a', { expiresAt: at + 1_000 })])
        expect(await log.report('acme', 'a', REPORT_PAGE)).toEqual({
          id: 'a',
          eventType: 'e',
          occurredAt: at,
          expiresAt: at + 1_000,
          recipients: [{ owner: ANN, state: 'queued', attempts: 0, at }],
        })
        clock.time += 5
        log.handed(ANN, cursor.epoch, [1])
        log.handed(ANN, 'other', [1])
        log.handed(ANN, cursor.epoch, [7])
        await eventually(async () => (await statesOf(log, 'a'))?.[0] === 'ann sent 1')
        log.handed(ANN, cursor.epoch, [1])
        await eventually(async () => (await statesOf(log, 'a'))?.[0] === 'ann sent 2')
        expect((await log.report('acme', 'a', REPORT_PAGE))?.recipients[0]?.at).toBe(at + 5)
        expect((await log.list(ANN, 0, ALL)).entries).toEqual([
          { seq: 1, body: draft('a').body, state: 'sent' },
        ])
        // Only with acknowledgement on does an entry wait for one.
        expect(notes).toEqual(acknowledged ? [['tracked', ANN, 1]] : [])
      })

    test('a report lists recipients in the order of the send, page by page', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append([CY, ANN, BOB].map(owner => draft('a', { owner })))
      expect(await statesOf(log, 'a')).toEqual(['cy queued 0', 'ann queued 0', 'bob queued 0'])
      const page = async (more: { after?: Topic; limit: number }) =>
        (await log.report('acme', 'a', more))?.recipients.map(({ owner }) => owner)
      expect(await page({ limit: 2 })).toEqual([CY, ANN])
      expect(await page({ after: ANN, limit: 2 })).toEqual([BOB])
      expect(await page({ after: BOB, limit: 2 })).toEqual([])
      expect(await page({ after: userTopic('acme', 'nobody'), limit: 2 })).toEqual([])
    })

    test('a report shows no notification of another tenant', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append([draft('a')])
      expect([await statesOf(log, 'a', 'acm'), await statesOf(log, 'b')]).toEqual([undefined, undefined])
    })

    for (const [what, acknowledged, given, expected, told] of [
      ['ttl', false, { expiresAt: 1_700_000_000_001 }, 'ann expired 0', ['expired', true, false]],
      ['age', false, {}, 'ann expired 0', ['expired', true, false]],
      [
        'ttl after it was handed over',
        true,
        { expiresAt: 1_700_000_000_001 },
        'ann expired 1',
        ['expired', true, true],
      ],
      ['age after it was handed over', true, {}, 'ann expired 1', ['expired', true, true]],
    ] as const)
      test(`an entry expires by ${what}, acknowledgement ${acknowledged ? 'on' : 'off'}`, async () => {
        await using opened = await start({ acknowledged })
        const { log, notes, clock } = opened
        const [{ cursor } = NOWHERE] = await log.append([draft('a', given)])
        if (acknowledged) log.handed(ANN, cursor.epoch, [1])
        clock.time += what.startsWith('ttl') ? 2 : LIMITS.retentionMs + 1
        expect(await seqs(log)).toEqual([])
        await eventually(async () => (await statesOf(log, 'a'))?.[0] === expected)
        // Counting entries also finds those that ended.
        await log.totals()
        expect(notes.at(-1)).toEqual(['left', ANN, ...told])
      })

    test('an evicted entry is dropped if no device got it, and keeps its state otherwise', async () => {
      await using opened = await start({ maxEntries: 1 })
      const { log, notes } = opened
      const [{ cursor } = NOWHERE] = await log.append([draft('got')])
      log.handed(ANN, cursor.epoch, [1])
      await eventually(async () => (await statesOf(log, 'got'))?.[0] === 'ann sent 1')
      await log.append([draft('missed'), draft('last')])
      expect(await statesOf(log, 'got')).toEqual(['ann sent 1'])
      expect(await statesOf(log, 'missed')).toEqual(['ann dropped 0'])
      expect(notes.slice(-2)).toEqual(Array(2).fill(['left', ANN, 'dropped', true, false]))
    })

    test('an evicted entry that was received does not count as lost', async () => {
      await using opened = await start({ maxEntries: 1 })
      const { log, notes } = opened
      await log.append([draft('a')])
      await receive(log, ANN, 1)
      await log.append([draft('b')])
      expect(notes.at(-1)).toEqual(['left', ANN, 'dropped', false, false])
    })
  })

  describe(`${name}: acknowledgement`, () => {
    const ON = { acknowledged: true }
    const stateOf = async (log: UserLog, id: string) =>
      (await log.report('acme', id, { limit: 1 }))?.recipients.map(
        ({ state, attempts }) => `${state} ${attempts}`,
      )[0]

    test('an acknowledgement by id settles the entry of that user only, and a repeat has no effect', async () => {
      await using opened = await start(ON)
      const { log, acks, notes, clock } = opened
      const [{ cursor } = NOWHERE] = await log.append([draft('a'), draft('a', { owner: BOB })])
      log.handed(ANN, cursor.epoch, [1])
      clock.time += 40
      expect(await acks.ack(ANN, ['a', 'unknown', 'a'])).toEqual([
        { late: false, cursor },
        undefined,
        { late: false, cursor },
      ])
      expect(await acks.ack(CY, ['a'])).toEqual([undefined])
      expect(notes).toEqual([
        ['tracked', ANN, 1],
        ['acked', ANN, 40],
      ])
      expect((await log.list(ANN, 0, ALL)).entries.map(({ state }) => state)).toEqual(['acked'])
      expect((await log.list(BOB, 0, ALL)).entries.map(({ state }) => state)).toEqual(['queued'])
    })

    test('an acknowledgement proves a delivery that is not noted yet', async () => {
      await using opened = await start(ON)
      const { log, acks, notes } = opened
      await log.append([draft('a')])
      await acks.ack(ANN, ['a'])
      expect(await stateOf(log, 'a')).toBe('acked 1')
      expect(notes).toEqual([
        ['tracked', ANN, 1],
        ['acked', ANN, 0],
      ])
    })

    test('an acknowledgement only removes the entry from reads of unsettled entries', async () => {
      await using opened = await start(ON)
      const { log, acks } = opened
      await log.append(drafts(3))
      await acks.ack(ANN, ['n2'])
      expect((await log.read(ANN, 0, ALL, true)).entries.map(({ seq }) => seq)).toEqual([1, 3])
      expect(await log.read(ANN, 0, { entries: 1, bytes: 1_000 }, true)).toMatchObject({ through: 1 })
      expect(await log.read(ANN, 1, { entries: 1, bytes: 1_000 }, true)).toMatchObject({ through: 3 })
      expect([await seqs(log), await log.count(ANN, 0)]).toEqual([[1, 2, 3], 3])
    })

    test('an acknowledgement by cursor settles every entry up to it and returns how many', async () => {
      await using opened = await start(ON)
      const { log, acks } = opened
      const appended = await log.append(drafts(3))
      const { epoch } = appended[0]?.cursor ?? NOWHERE.cursor
      await acks.ack(ANN, ['n1'])
      expect(await acks.ackThrough(ANN, { epoch, seq: 2 })).toBe(1)
      expect(await acks.ackThrough(ANN, { epoch, seq: 2 })).toBe(0)
      expect((await log.read(ANN, 0, ALL, true)).entries.map(({ seq }) => seq)).toEqual([3])
      expect(await acks.ackThrough(ANN, { epoch, seq: 4 })).toBeUndefined()
      expect(await acks.ackThrough(ANN, { epoch: 'other', seq: 1 })).toBeUndefined()
    })

    test('an entry without an acknowledgement is redelivered up to a limit, then given up, and a later acknowledgement is late', async () => {
      await using opened = await start(ON)
      const { log, acks, notes } = opened
      const [{ cursor } = NOWHERE] = await log.append([draft('a')])
      log.handed(ANN, cursor.epoch, [1])
      const { body } = draft('a')
      expect(await acks.redeliver(ANN, cursor, 3)).toEqual({ body, redelivered: 1 })
      expect(await acks.redeliver(ANN, cursor, 3)).toEqual({ body, redelivered: 2 })
      expect(await stateOf(log, 'a')).toBe('sent 3')
      expect(await acks.redeliver(ANN, cursor, 3)).toBeUndefined()
      expect(await stateOf(log, 'a')).toBe('expired 3')
      expect(await acks.redeliver(ANN, cursor, 3)).toBeUndefined()
      expect(notes).toEqual([
        ['tracked', ANN, 1],
        ['gaveUp', ANN],
      ])
      expect((await log.read(ANN, 0, ALL, true)).entries).toHaveLength(1)
      expect(await acks.ack(ANN, ['a'])).toEqual([{ late: true, cursor }])
      expect(await stateOf(log, 'a')).toBe('expired 3')
      expect((await log.read(ANN, 0, ALL, true)).entries).toEqual([])
      expect(notes).toHaveLength(2)
    })

    test('redeliver skips entries that are acknowledged, gone, of another epoch or not handed over', async () => {
      await using opened = await start(ON)
      const { log, acks, clock } = opened
      const appended = await log.append([
        draft('acked'),
        draft('gone', { expiresAt: clock.time + 1 }),
        draft('queued'),
      ])
      const { epoch } = appended[0]?.cursor ?? NOWHERE.cursor
      log.handed(ANN, epoch, [1, 2])
      await acks.ack(ANN, ['acked'])
      clock.time += 2
      for (const seq of [1, 2, 3, 4]) expect(await acks.redeliver(ANN, { epoch, seq }, 3)).toBeUndefined()
      expect(await acks.redeliver(ANN, { epoch: 'other', seq: 1 }, 3)).toBeUndefined()
    })
  })

  describe(`${name}: end by ttl and age`, () => {
    test('an entry is readable until its ttl has passed', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([
        draft('short', { expiresAt: clock.time + 10 }),
        draft('long', { expiresAt: clock.time + 20 }),
        draft('none'),
      ])
      clock.time += 10
      expect(await seqs(log)).toEqual([1, 2, 3])
      clock.time += 1
      expect(await seqs(log)).toEqual([2, 3])
      clock.time += 10
      expect(await seqs(log)).toEqual([3])
    })

    test('an entry is readable until its age limit, even if its ttl is longer', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([draft('a'), draft('b', { expiresAt: clock.time + 10 * LIMITS.retentionMs })])
      clock.time += 1
      await log.append([draft('c')])
      clock.time += LIMITS.retentionMs - 1
      expect(await seqs(log)).toEqual([1, 2, 3])
      clock.time += 1
      expect(await seqs(log)).toEqual([3])
      clock.time += 1
      expect(await seqs(log)).toEqual([])
    })

    const verbs: [string, (log: UserLog) => Promise<unknown>, unknown][] = [
      ['read', log => seqs(log), [2]],
      ['counted', log => log.count(ANN, 0), 1],
      ['totalled', countsOf, { messages: 1, users: 1 }],
    ]
    test.each(verbs)('an ended entry is not %s', async (_, look, expected) => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([
        draft('a', { expiresAt: clock.time }),
        draft('b'),
        draft('c', { owner: BOB, expiresAt: clock.time }),
      ])
      clock.time += 1
      expect(await look(log)).toEqual(expected)
    })

    test('an entry beyond its age limit is neither counted nor totalled', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([draft('a'), draft('b', { owner: BOB })])
      expect([await log.count(ANN, 0), await countsOf(log)]).toEqual([1, { messages: 2, users: 2 }])
      clock.time += LIMITS.retentionMs + 1
      expect([await log.count(ANN, 0), await countsOf(log)]).toEqual([0, { messages: 0, users: 0 }])
    })

    test.each(['open', 'read'] as const)(
      'removedThrough of %s includes an entry as soon as it ends by age',
      async verb => {
        await using opened = await start()
        const { log, clock } = opened
        await log.append(drafts(2))
        clock.time += LIMITS.retentionMs + 1
        const { removedThrough } = verb === 'open' ? await log.open(ANN) : await log.read(ANN, 0, ALL)
        expect(removedThrough).toBe(2)
      },
    )

    test('an entry whose ttl ends before its age, or at the same moment, does not count as removed', async () => {
      await using opened = await start()
      const { log, clock } = opened
      const age = clock.time + LIMITS.retentionMs
      await log.append([
        draft('a', { expiresAt: age + 1 }),
        draft('b', { expiresAt: age }),
        draft('c', { expiresAt: clock.time }),
      ])
      clock.time += 1
      expect((await log.open(ANN)).removedThrough).toBe(0)
      clock.time = age + 1
      expect((await log.open(ANN)).removedThrough).toBe(1)
      clock.time += LIMITS.retentionMs
      expect((await log.open(ANN)).removedThrough).toBe(1)
    })

    test('no entry is lost when the clock is set back', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([draft('a'), draft('b', { expiresAt: clock.time + 1_000 })])
      clock.time -= 3_600_000
      await log.append([draft('c', { expiresAt: clock.time + 1_000 })])
      expect(await seqs(log)).toEqual([1, 2, 3])
      expect((await log.open(ANN)).removedThrough).toBe(0)
    })
  })

  describe(`${name}: overflow`, () => {
    const fill = async (log: UserLog, priorities: readonly Priority[]): Promise<void> => {
      const { head } = await log.open(ANN)
      await log.append(priorities.map((priority, i) => draft(`${head.seq + i + 1}`, { priority })))
    }
    /** States by seq, which is also the id here. */
    const statesOf = async (log: UserLog): Promise<Record<number, DeliveryState>> => {
      const { head } = await log.open(ANN)
      const all: Record<number, DeliveryState> = {}
      for (let seq = 1; seq <= head.seq; seq++) {
        const report = await log.report('acme', `${seq}`, { limit: 1 })
        const state = report?.recipients[0]?.state
        if (state !== undefined) all[seq] = state
      }
      return all
    }

    for (const {
      evicts,
      acknowledged = false,
      first,
      handed = [],
      received = 0,
      acked = [],
      later,
      ...expected
    } of OVERFLOW_CASES)
      test(`overflow evicts ${evicts}, acknowledgement ${acknowledged ? 'on' : 'off'}`, async () => {
        await using opened = await start({ acknowledged })
        const { log, acks, notes } = opened
        await fill(log, first)
        const { epoch } = (await log.open(ANN)).head
        log.handed(ANN, epoch, handed)
        for (const seq of handed) await eventually(async () => (await statesOf(log))[seq] === 'sent')
        await receive(log, ANN, received)
        await acks.ack(ANN, acked.map(String))
        await fill(log, later)
        const isGone = ([seq]: [string, DeliveryState]): boolean => !expected.left.includes(Number(seq))
        expect({
          left: await seqs(log),
          gone: Object.fromEntries(Object.entries(await statesOf(log)).filter(isGone)),
          unsettled: notes.filter(([told, , , unsettled]) => told === 'left' && unsettled).length,
          lostThrough: (await log.open(ANN)).lostThrough,
        }).toEqual({ ...expected, unsettled: expected.unsettled.length })
      })

    test('overflow counts only unexpired entries', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([
        draft('a'),
        draft('b', { expiresAt: clock.time }),
        draft('c', { expiresAt: clock.time }),
      ])
      clock.time += 1
      await log.append([draft('d', { priority: 'Low' }), draft('e', { priority: 'Low' })])
      expect(await seqs(log)).toEqual([1, 4, 5])
      expect((await log.open(ANN)).removedThrough).toBe(0)
    })

    test('overflow moves removedThrough to the highest evicted seq', async () => {
      await using opened = await start()
      const { log } = opened
      await fill(log, ['Critical', 'Critical', 'Critical', 'Low'])
      expect((await log.open(ANN)).removedThrough).toBe(4)
      await fill(log, ['Critical'])
      expect(await log.open(ANN)).toMatchObject({ head: { seq: 5 }, removedThrough: 4 })
      expect(await log.read(ANN, 4, ALL)).toMatchObject({ entries: [{ seq: 5 }], removedThrough: 4 })
    })

    test('overflow of one user evicts nothing of other users', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append([draft('b', { owner: BOB, priority: 'Low' }), ...drafts(10, { priority: 'High' })])
      expect(await seqs(log, BOB)).toEqual([1])
      expect(await countsOf(log)).toEqual({ messages: 4, users: 2 })
    })
  })

  describe(`${name}: read`, () => {
    const bodies = (count: number, size: number): Draft[] => drafts(count, { body: 'x'.repeat(size) })

    test('read returns the entries after a seq, oldest first, whatever their priority', async () => {
      await using opened = await start({ maxEntries: 100 })
      const { log } = opened
      await log.append(PRIORITIES.flatMap(priority => drafts(2, { priority })).reverse())
      expect(await seqs(log)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      expect((await log.read(ANN, 5, ALL)).entries.map(({ seq }) => seq)).toEqual([6, 7, 8])
      expect([await log.count(ANN, 0), await log.count(ANN, 5), await log.count(ANN, 8)]).toEqual([8, 3, 0])
    })

    test.each([
      ['the number of entries', { entries: 2, bytes: 1_000 }, 0, [1, 2], 2],
      ['their size', { entries: 100, bytes: 30 }, 0, [1, 2, 3], 3],
      ['their size, one short', { entries: 100, bytes: 29 }, 0, [1, 2], 2],
    ])(
      'read ends a page by %s and returns the seq it reached',
      async (_, limit, after, expected, through) => {
        await using opened = await start({ maxEntries: 100 })
        const { log } = opened
        await log.append(bodies(5, 10))
        const page = await log.read(ANN, after, limit)
        expect([page.entries.map(({ seq }) => seq), page.through]).toEqual([expected, through])
      },
    )

    test('a page has at least one entry if any follows', async () => {
      await using opened = await start({ maxEntries: 100 })
      const { log } = opened
      await log.append(bodies(2, 50))
      expect(await log.read(ANN, 0, { entries: 5, bytes: 1 })).toMatchObject({
        entries: [{ seq: 1 }],
        through: 1,
      })
      expect(await log.read(ANN, 1, { entries: 5, bytes: 1 })).toMatchObject({
        entries: [{ seq: 2 }],
        through: 2,
      })
    })

    test('read reaches the head when nothing follows, even if the last entries have ended', async () => {
      await using opened = await start({ maxEntries: 100 })
      const { log, clock } = opened
      await log.append([...drafts(2), draft('short', { expiresAt: clock.time })])
      clock.time += 1
      expect(await log.read(ANN, 0, { entries: 2, bytes: 1_000 })).toMatchObject({ through: 3 })
      expect(await log.read(ANN, 2, ALL)).toMatchObject({ entries: [], through: 3 })
      expect(await log.read(ANN, 99, ALL)).toMatchObject({ entries: [], through: 3 })
    })

    test('neither read nor a receipt removes an entry', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append(drafts(3))
      await receive(log, ANN, 3)
      expect([await seqs(log), await seqs(log), await log.count(ANN, 0)]).toEqual([[1, 2, 3], [1, 2, 3], 3])
    })
  })

  describe(`${name}: stored bytes`, () => {
    const BODY = 'x'.repeat(2_000)
    const MORE = 5 * BODY.length
    const to = (owner: Topic, id: string): Draft => draft(id, { owner, body: `${BODY}${id}` })
    const user = (n: number, tenant = 'acme'): Topic => userTopic(tenant, `user-${n}`)
    const bytesOf = async (log: UserLog): Promise<number> => (await log.totals()).bytes ?? 0
    const refusalOf = (log: UserLog, drafts: readonly Draft[]): Promise<unknown> =>
      Promise.resolve(log.append(drafts)).then(
        () => undefined,
        (error: unknown) => error,
      )

    /** Bytes of one notification for one new user. */
    const sizeOfOne = async (): Promise<number> => {
      await using opened = await start()
      await opened.log.append([to(user(0), '0')])
      return await bytesOf(opened.log)
    }

    test('a body counts once for any number of users', async () => {
      await using opened = await start()
      const { log } = opened
      expect(await bytesOf(log)).toBe(0)
      const body = 'ü'.repeat(20_000)
      await log.append([ANN, BOB, CY].map(owner => draft('a', { owner, body })))
      expect(await bytesOf(log)).toBeGreaterThan(40_000)
      expect(await bytesOf(log)).toBeLessThan(50_000)
      await log.append([draft('b', { owner: BOB, body: 'x'.repeat(20_000) })])
      expect(await bytesOf(log)).toBeGreaterThan(60_000)
    })

    test('ended entries count no longer, but heads still do', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([1, 2, 3].map(n => to(user(n), `${n}`)))
      clock.time += LIMITS.retentionMs + 1
      await log.totals()
      await eventually(async () => (await bytesOf(log)) < 3 * BODY.length)
      expect(await bytesOf(log)).toBeGreaterThan(0)
    })

    for (const [bound, tenant] of [
      ['tenantMaxBytes', 'acme'],
      ['maxBytes', 'globex'],
    ] as const)
      test(`an append beyond ${bound} is refused as a whole, unless it adds nothing`, async () => {
        const one = await sizeOfOne()
        await using opened = await start({ [bound]: 2 * one + MORE - 1 })
        const { log } = opened
        const first = await log.append([to(user(1), '1'), to(user(2, tenant), '2')])
        const before = await log.totals()
        const many = [3, 4, 5, 6, 7, 8].map(n => to(user(n, tenant), `${n}`))
        expect(await refusalOf(log, many)).toBeInstanceOf(StoreFull)
        expect(await log.totals()).toEqual(before)
        for (const { owner } of many) expect((await log.open(owner)).head.seq).toBe(0)
        // Known ids add nothing, so they always have room.
        const again = await log.append([to(user(1), '1'), to(user(2, tenant), '2')])
        expect(again).toEqual(first.map(appended => ({ ...appended, repeated: true })))
        await log.append(many.slice(0, 1))
      })

    test('a full tenant does not block other tenants, and has room again when its entries have ended', async () => {
      const one = await sizeOfOne()
      await using opened = await start({ tenantMaxBytes: 2 * one })
      const { log, clock } = opened
      await log.append([to(user(1), '1')])
      expect(await refusalOf(log, [to(user(1), '2'), to(user(1), '3')])).toBeInstanceOf(StoreFull)
      await log.append([to(user(1, 'globex'), '4')])
      clock.time += LIMITS.retentionMs + 1
      await eventually(async () => (await countsOf(log)).messages === 0)
      await eventually(async () => (await refusalOf(log, [to(user(1), '5')])) === undefined)
      expect(await seqs(log, user(1))).toEqual([2])
    })

    for (const bound of ['tenantMaxBytes', 'maxBytes'] as const)
      test(`${bound}: heads without entries make room, whatever the number of users`, async () => {
        const one = await sizeOfOne()
        await using opened = await start({ [bound]: 4 * (one - BODY.length) })
        const { log, clock } = opened
        const small = (n: number, id: string): Draft => draft(id, { owner: user(n) })
        const nextRound = async (): Promise<void> => {
          clock.time += LIMITS.retentionMs + 1
          await log.totals()
        }
        const [first] = await log.append([small(0, 'first')])
        for (let n = 1; n <= 40; n++) {
          await nextRound()
          await eventually(async () => (await refusalOf(log, [small(n, `${n}`)])) === undefined)
        }
        // A forgotten log begins again in another epoch, so a client with an old cursor is told.
        await nextRound()
        await eventually(async () => (await refusalOf(log, [small(0, 'again')])) === undefined)
        const { head } = await log.open(user(0))
        expect(head.seq).toBe(1)
        expect(head.epoch).not.toBe(first?.cursor.epoch)
      })

    // The delivery state that stays known may still count.
    test('the body of an evicted entry counts no longer', async () => {
      await using opened = await start({ maxEntries: 2 })
      const { log } = opened
      for (let n = 0; n < 2; n++) await log.append([to(user(1), `${n}`)])
      const full = await bytesOf(log)
      for (let n = 2; n < 9; n++) await log.append([to(user(1), `${n}`)])
      await eventually(async () => (await bytesOf(log)) < full + 2 * BODY.length)
    })
  })

  describe(`${name}: received`, () => {
    test('a receipt never moves back', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append(drafts(3))
      await receive(log, ANN, 2)
      log.received(ANN, { epoch: (await log.open(ANN)).head.epoch, seq: 1 })
      await receive(log, ANN, 3)
      expect((await log.open(ANN)).received).toBe(3)
    })

    test('a receipt beyond the head, of another epoch or for an unknown user is ignored', async () => {
      await using opened = await start()
      const { log } = opened
      await log.append(drafts(3))
      const { epoch } = (await log.open(ANN)).head
      log.received(ANN, { epoch, seq: 4 })
      log.received(ANN, { epoch: 'other', seq: 3 })
      log.received(BOB, { epoch, seq: 3 })
      await receive(log, ANN, 1)
      expect([(await log.open(ANN)).received, (await log.open(BOB)).received]).toEqual([1, 0])
      await log.append(drafts(4, { owner: BOB }))
      expect((await log.open(BOB)).received).toBe(0)
    })

    test('a receipt belongs to one user and outlives the entries', async () => {
      await using opened = await start()
      const { log, clock } = opened
      await log.append([...drafts(2), ...drafts(2, { owner: BOB })])
      await receive(log, ANN, 2)
      clock.time += LIMITS.retentionMs + 1
      expect([(await log.open(ANN)).received, (await log.open(BOB)).received]).toEqual([2, 0])
    })
  })

  describe(`${name}: received as a state`, () => {
    const REPORT_PAGE = { limit: 1 }
    const recipientOf = async (log: UserLog, id: string) =>
      (await log.report('acme', id, REPORT_PAGE))?.recipients.map(({ state, attempts, at }) => ({
        state,
        attempts,
        at,
      }))[0]
    const isIn = (log: UserLog, id: string, state: DeliveryState): Promise<void> =>
      eventually(async () => (await recipientOf(log, id))?.state === state)

    for (const acknowledged of [false, true])
      test(`entries up to the receipt become received at the time of the receipt, acknowledgement ${acknowledged ? 'on' : 'off'}`, async () => {
        await using opened = await start({ acknowledged })
        const { log, clock } = opened
        const { time } = clock
        await log.append(drafts(3))
        const { epoch } = (await log.open(ANN)).head
        log.handed(ANN, epoch, [1])
        await isIn(log, 'n1', 'sent')
        clock.time += 5
        await receive(log, ANN, 2)
        clock.time += 5
        await receive(log, ANN, 1)
        await receive(log, ANN, 2)
        expect([
          await recipientOf(log, 'n1'),
          await recipientOf(log, 'n2'),
          await recipientOf(log, 'n3'),
        ]).toEqual([
          { state: 'received', attempts: 1, at: time + 5 },
          { state: 'received', attempts: 0, at: time + 5 },
          { state: 'queued', attempts: 0, at: time },
        ])
        expect((await log.list(ANN, 0, ALL)).entries.map(({ state }) => state)).toEqual([
          'received',
          'received',
          'queued',
        ])
      })

    test('a delivery after the receipt counts as an attempt and keeps the state', async () => {
      await using opened = await start({ acknowledged: true })
      const { log, notes, clock } = opened
      const { time } = clock
      await log.append(drafts(1))
      await receive(log, ANN, 1)
      clock.time += 5
      log.handed(ANN, (await log.open(ANN)).head.epoch, [1])
      await eventually(async () => (await recipientOf(log, 'n1'))?.attempts === 1)
      expect(await recipientOf(log, 'n1')).toEqual({ state: 'received', attempts: 1, at: time })
      await eventually(() => notes.length > 0)
      expect(notes).toEqual([['tracked', ANN, 1]])
    })

    test('a received entry is redelivered and given up like a sent one, and can be acknowledged', async () => {
      await using opened = await start({ acknowledged: true })
      const { log, acks, notes } = opened
      const appended = await log.append(drafts(2))
      const [first = NOWHERE, second = NOWHERE] = appended
      log.handed(ANN, first.cursor.epoch, [1, 2])
      await isIn(log, 'n2', 'sent')
      await receive(log, ANN, 2)
      expect(await acks.redeliver(ANN, first.cursor, 2)).toMatchObject({ redelivered: 1 })
      expect(await recipientOf(log, 'n1')).toMatchObject({ state: 'received', attempts: 2 })
      expect(await acks.redeliver(ANN, first.cursor, 2)).toBeUndefined()
      expect(await recipientOf(log, 'n1')).toMatchObject({ state: 'expired', attempts: 2 })
      expect(await acks.ack(ANN, ['n2'])).toEqual([{ late: false, cursor: second.cursor }])
      expect(await recipientOf(log, 'n2')).toMatchObject({ state: 'acked', attempts: 1 })
      // Some stores report several entries in one call.
      expect(notes.map(([told]) => told).filter((told, n, all) => told !== all[n - 1])).toEqual([
        'tracked',
        'gaveUp',
        'acked',
      ])
    })

    test('a receipt changes neither acknowledged nor expired entries', async () => {
      await using opened = await start({ acknowledged: true })
      const { log, acks } = opened
      const [{ cursor } = NOWHERE] = await log.append(drafts(2))
      log.handed(ANN, cursor.epoch, [1])
      await isIn(log, 'n1', 'sent')
      await acks.redeliver(ANN, cursor, 1)
      await acks.ack(ANN, ['n2'])
      await receive(log, ANN, 2)
      expect([await recipientOf(log, 'n1'), await recipientOf(log, 'n2')]).toMatchObject([
        { state: 'expired' },
        { state: 'acked' },
      ])
    })

    for (const acknowledged of [false, true])
      test(`a received entry expires with its retention, acknowledgement ${acknowledged ? 'on' : 'off'}`, async () => {
        await using opened = await start({ acknowledged })
        const { log, notes, clock } = opened
        await log.append(drafts(2))
        log.handed(ANN, (await log.open(ANN)).head.epoch, [1])
        await isIn(log, 'n1', 'sent')
        await receive(log, ANN, 1)
        clock.time += LIMITS.retentionMs + 1
        expect(await seqs(log)).toEqual([])
        await isIn(log, 'n1', 'expired')
        await log.totals()
        expect((await log.open(ANN)).lostThrough).toBe(2)
        expect(notes.filter(([told]) => told === 'left')).toEqual([
          ['left', ANN, 'expired', acknowledged, acknowledged],
          ['left', ANN, 'expired', true, false],
        ])
      })

    test('an entry that ended by its ttl, was received or acknowledged is not lost', async () => {
      await using opened = await start({ acknowledged: true })
      const { log, acks, clock } = opened
      await log.append([draft('received'), draft('acked'), draft('short', { expiresAt: clock.time + 1 })])
      await acks.ack(ANN, ['acked'])
      await receive(log, ANN, 1)
      clock.time += LIMITS.retentionMs + 1
      expect(await log.open(ANN)).toMatchObject({ removedThrough: 2, lostThrough: 0 })
    })
  })

  describe(`${name}: random sequences`, () => {
    test('every random sequence of steps has the same results in the store as in a plain list', async () => {
      const property = fc.asyncProperty(anyLimits, anySteps, async (limits, steps) => {
        await using opened = await start(limits)
        const run = new Run(opened.log, opened.clock, { ...LIMITS, ...limits })
        for (const step of steps) await run.take(step)
        await run.take({ verb: 'look' })
      })
      // A busy machine may run fewer sequences in the time limit.
      await fc.assert(property, { numRuns: runs, interruptAfterTimeLimit: 30_000 })
    }, 60_000)
  })
}

const OWNERS = [ANN, BOB, CY] as const
const anyOwner = fc.constantFrom(...OWNERS)
const anyDraft = fc.record({
  owner: anyOwner,
  id: fc.integer({ min: 1, max: 12 }).map(String),
  priority: fc.constantFrom(...PRIORITIES),
  size: fc.integer({ min: 1, max: 30 }),
  ttl: fc.option(fc.integer({ min: -2, max: 120 }), { nil: undefined, freq: 2 }),
})
const anySeq = fc.integer({ min: 0, max: 40 })
const anyLimits = fc.record({
  maxEntries: fc.integer({ min: 1, max: 8 }),
  retentionMs: fc.integer({ min: 20, max: 120 }),
})
const step = {
  append: fc.record({
    verb: fc.constant('append'),
    drafts: fc.array(anyDraft, { minLength: 1, maxLength: 5 }),
  }),
  wait: fc.record({ verb: fc.constant('wait'), ms: fc.integer({ min: 1, max: 40 }) }),
  received: fc.record({
    verb: fc.constant('received'),
    owner: anyOwner,
    seq: anySeq,
    isForeign: fc.boolean(),
  }),
  read: fc.record({
    verb: fc.constant('read'),
    owner: anyOwner,
    after: anySeq,
    limit: fc.record({ entries: fc.integer({ min: 1, max: 4 }), bytes: fc.integer({ min: 1, max: 80 }) }),
  }),
  look: fc.record({ verb: fc.constant('look') }),
} as const
const anySteps = fc.array(
  fc.oneof(
    { arbitrary: step.append, weight: 6 },
    { arbitrary: step.wait, weight: 2 },
    { arbitrary: step.received, weight: 2 },
    { arbitrary: step.read, weight: 2 },
    { arbitrary: step.look, weight: 1 },
  ),
  { maxLength: 50, size: 'max' },
)
type Step = typeof anySteps extends fc.Arbitrary<(infer S)[]> ? S : never

/** An entry of the model's list. The model never removes one. */
interface Row extends Draft {
  readonly seq: number
  readonly agesAt: number
  hasOverflowed: boolean
  isReceived: boolean
  isLost: boolean
}

const highest = (rows: readonly Row[]): number => Math.max(0, ...rows.map(({ seq }) => seq))

/** Takes steps with a log and with a naive model: a list of everything ever appended. */
class Run {
  readonly #log: UserLog
  readonly #clock: Clock & { time: number }
  readonly #limits: StoreLimits
  readonly #rows: Row[] = []
  readonly #received = new Map<Topic, number>()
  readonly #epochs = new Map<Topic, string>()

  constructor(log: UserLog, clock: Clock & { time: number }, limits: StoreLimits) {
    this.#log = log
    this.#clock = clock
    this.#limits = limits
  }

  async take(taken: Step): Promise<void> {
    switch (taken.verb) {
      case 'append':
        return this.#append(taken.drafts.map(each => this.#draftOf(each)))
      case 'wait':
        return this.#wait(taken.ms)
      case 'received':
        return this.#receive(taken.owner, taken.seq, taken.isForeign)
      case 'read':
        return this.#read(taken.owner, taken.after, taken.limit)
      case 'look':
        return this.#look()
    }
  }

  #draftOf({
    owner,
    id,
    priority,
    size,
    ttl,
  }: typeof anyDraft extends fc.Arbitrary<infer D> ? D : never): Draft {
    const body = `${this.#rows.length}`.padEnd(size, '.')
    return draft(id, {
      owner,
      priority,
      body,
      ...(ttl !== undefined && { expiresAt: this.#clock.time + ttl }),
    })
  }

  async #append(given: readonly Draft[]): Promise<void> {
    const expected: AppendResult[] = []
    for (const each of given) expected.push(await this.#expectAppended(each))
    expect(await this.#log.append(given)).toEqual(expected)
  }

  async #expectAppended(given: Draft): Promise<AppendResult> {
    const { owner, id } = given
    const epoch = await this.#epochOf(owner)
    const known = this.#alive(owner).find(row => row.id === id)
    if (known !== undefined) return { cursor: { epoch, seq: known.seq }, repeated: true }
    const seq = this.#headOf(owner) + 1
    const agesAt = this.#clock.time + this.#limits.retentionMs
    this.#rows.push({ ...given, seq, agesAt, hasOverflowed: false, isReceived: false, isLost: false })
    if (this.#alive(owner).length > this.#limits.maxEntries) this.#overflow(owner)
    return { cursor: { epoch, seq }, repeated: false }
  }

  /** Reads each log after the wait, so that a late receipt finds no ended entry. */
  async #wait(ms: number): Promise<void> {
    this.#clock.time += ms
    for (const owner of OWNERS) await this.#log.open(owner)
    for (const row of this.#rows) row.isLost ||= this.#isRemoved(row) && !row.isReceived
  }

  #overflow(owner: Topic): void {
    const rows = this.#alive(owner)
    const settled = rows.find(({ isReceived }) => isReceived)
    const lowest = PRIORITIES.find(each => rows.some(({ priority }) => priority === each))
    const victim = settled ?? rows.find(({ priority }) => priority === lowest)
    if (victim === undefined) return
    victim.hasOverflowed = true
    victim.isLost = !victim.isReceived
  }

  async #receive(owner: Topic, seq: number, isForeign: boolean): Promise<void> {
    const epoch = isForeign ? 'foreign' : await this.#epochOf(owner)
    this.#log.received(owner, { epoch, seq })
    if (isForeign || seq > this.#headOf(owner)) return
    this.#received.set(owner, Math.max(this.#received.get(owner) ?? 0, seq))
    for (const row of this.#of(owner)) row.isReceived ||= row.seq <= seq
    await taken(this.#log, owner, seq)
  }

  async #read(owner: Topic, after: number, limit: PageLimit): Promise<void> {
    const rows = this.#alive(owner).filter(({ seq }) => seq > after)
    const sizeOf = (count: number): number =>
      rows.slice(0, count).reduce((sum, { body }) => sum + body.length, 0)
    const fitting = rows.filter((_, i) => i === 0 || (i < limit.entries && sizeOf(i + 1) <= limit.bytes))
    expect(await this.#log.read(owner, after, limit)).toEqual({
      epoch: await this.#epochOf(owner),
      entries: fitting.map(({ seq, body }) => ({ seq, body })),
      through: fitting.length < rows.length ? (fitting.at(-1)?.seq ?? 0) : this.#headOf(owner),
      removedThrough: this.#removedThrough(owner),
    })
    expect(await this.#log.count(owner, after)).toBe(rows.length)
  }

  async #look(): Promise<void> {
    for (const owner of OWNERS) {
      expect(await this.#log.open(owner)).toEqual({
        head: { epoch: await this.#epochOf(owner), seq: this.#headOf(owner) },
        received: this.#received.get(owner) ?? 0,
        removedThrough: this.#removedThrough(owner),
        bases: [],
        lostThrough: highest(this.#of(owner).filter(({ isLost }) => isLost)),
      })
      await this.#read(owner, 0, ALL)
      await this.#lookAtStates(owner)
    }
    const sizes = OWNERS.map(owner => this.#alive(owner).length).filter(size => size > 0)
    const messages = sizes.reduce((sum, size) => sum + size, 0)
    expect(await countsOf(this.#log)).toEqual({ messages, users: sizes.length })
  }

  async #lookAtStates(owner: Topic): Promise<void> {
    const { entries } = await this.#log.list(owner, 0, ALL)
    expect(entries.map(({ state }) => state)).toEqual(
      this.#alive(owner).map(({ isReceived }) => (isReceived ? 'received' : 'queued')),
    )
  }

  /** Returns the epoch first seen for the log: it must stay the same. */
  async #epochOf(owner: Topic): Promise<string> {
    const epoch = this.#epochs.get(owner) ?? (await this.#log.open(owner)).head.epoch
    this.#epochs.set(owner, epoch)
    return epoch
  }

  #of(owner: Topic): Row[] {
    return this.#rows.filter(row => row.owner === owner)
  }

  #alive(owner: Topic): Row[] {
    const now = this.#clock.time
    return this.#of(owner).filter(
      ({ hasOverflowed, agesAt, expiresAt = now }) => !hasOverflowed && now <= agesAt && now <= expiresAt,
    )
  }

  #headOf(owner: Topic): number {
    return this.#of(owner).length
  }

  /** Whether overflow or age removed the entry. */
  #isRemoved({ hasOverflowed, agesAt, expiresAt = Number.POSITIVE_INFINITY }: Row): boolean {
    return hasOverflowed || (this.#clock.time > agesAt && agesAt < expiresAt)
  }

  #removedThrough(owner: Topic): number {
    return highest(this.#of(owner).filter(row => this.#isRemoved(row)))
  }
}
