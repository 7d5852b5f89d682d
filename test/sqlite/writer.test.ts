import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Topic, userTopic } from '../../src/notification/topic.ts'
import { type Call, type DraftRow, PARTS } from '../../src/store/sqlite/batch.ts'
import { openFile } from '../../src/store/sqlite/file.ts'
import { ENTRY_BYTES, LOG_BYTES } from '../../src/store/sqlite/schema.ts'
import { createWriter } from '../../src/store/sqlite/writer.ts'
import { LIMITS } from '../contract/store.contract.ts'
import { storePlace } from '../support/store-file.ts'

const ANN = userTopic('acme', 'ann')
const EPOCH = 'epoch'
const hideEpoch = (_: string, value: unknown): unknown =>
  typeof value === 'string' && /^[\w-]{8}$/.test(value) ? 'another' : value
const append = (id: string): Call => ['append', [[ANN, id, '{', 'e', 1, 1, undefined, undefined]]]

const row = (owner: Topic, id: string, rank: number, body: string | undefined): DraftRow => [
  owner,
  id,
  body,
  'e',
  1,
  rank,
  undefined,
  undefined,
]
const BOB = userTopic('acme', 'bob')
const SMALL = { ...LIMITS, maxEntries: 2, retentionMs: 86_400_000, acknowledged: true }
const anyOwner = fc.constantFrom(ANN, BOB)
const anyId = fc.constantFrom('a', 'b', 'c', 'd')
const anyCursor = fc.integer({ min: 1, max: 9 }).map(seq => ({ epoch: EPOCH, seq }))
const anyCall: fc.Arbitrary<Call> = fc.oneof(
  fc
    .record({ owner: anyOwner, id: anyId, rank: fc.integer({ min: 0, max: 3 }) })
    .map(({ owner, id, rank }): Call => ['append', [row(owner, id, rank, '{')]]),
  fc
    .record({ id: anyId, rank: fc.integer({ min: 0, max: 3 }) })
    .map(({ id, rank }): Call => ['append', [row(ANN, id, rank, '{"ü"'), row(BOB, id, rank, undefined)]]),
  fc.constantFrom(...PARTS).map((part): Call => ['cleanUp', part]),
  fc.record({ owner: anyOwner, id: anyId }).map(({ owner, id }): Call => ['ack', owner, [id]]),
  fc.record({ owner: anyOwner, at: anyCursor }).map(({ owner, at }): Call => ['ackThrough', owner, at]),
  fc.record({ owner: anyOwner, at: anyCursor }).map(({ owner, at }): Call => ['received', owner, at]),
  fc.record({ owner: anyOwner, at: anyCursor }).map(({ owner, at }): Call => ['redeliver', owner, at, 2]),
  fc
    .record({ owner: anyOwner, at: anyCursor })
    .map(({ owner, at }): Call => ['handed', owner, EPOCH, [at.seq], 1]),
  fc.constant<Call>(['totals']),
)
const anyBatches = fc.array(
  fc.record({
    wait: fc.constantFrom(0, 1, 86_400_001, 31 * 86_400_000),
    calls: fc.array(anyCall, { minLength: 1, maxLength: 8 }),
  }),
  { maxLength: 8 },
)

/** Starts a writer in this thread. `givenUp` lists the values that it reads, one per look. */
async function start(givenUp: number[], limits = LIMITS) {
  const place = await storePlace()
  const file = openFile(place.path, 'normal')
  const db = new Database(place.path, { strict: true })
  const carryOut = createWriter({ db, lives: file.lives, limits, givenUp: () => givenUp.shift() ?? 0 })
  db.run('UPDATE service SET epoch = ?', [EPOCH])
  let first = 1_000
  return {
    path: place.path,
    db,
    carryOut,
    /** The answers of one commit. Epochs of later lives have random names. */
    carry: (now: number, calls: readonly Call[]) => {
      const reply = carryOut({ now, notes: [], first, calls })
      first += calls.length
      return JSON.parse(JSON.stringify(reply.type === 'done' ? reply.answers : reply), hideEpoch)
    },
    /** Bytes of the logs, counted from the file. */
    bytes: () =>
      Number(
        db
          .query(
            `SELECT (SELECT count(*) * ${LOG_BYTES} FROM logs) + (SELECT coalesce(sum(bytes), 0) FROM bodies) +
             (SELECT coalesce(sum(${ENTRY_BYTES} + coalesce(octet_length(body), 0)), 0) FROM entries)`,
          )
          .values()[0]?.[0],
      ),
    /** Bodies whose stored number of entries is wrong. */
    sharers: () =>
      db
        .query(
          `SELECT * FROM bodies WHERE entries < 1
           OR entries <> (SELECT count(*) FROM entries WHERE shared = bodies.n AND is_kept = 1)`,
        )
        .all(),
    dump: () =>
      ['entries', 'logs', 'bodies'].map(table =>
        JSON.parse(JSON.stringify(db.query(`SELECT * FROM ${table} ORDER BY 1`).all()), hideEpoch),
      ),
    kept: () => db.query('SELECT id, seq FROM entries ORDER BY n').values(),
    [Symbol.asyncDispose]: async () => {
      db.close()
      file[Symbol.dispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

test('a call that timed out before its batch began is skipped', async () => {
  await using writer = await start([5, 5])
  const calls = [append('a'), append('b'), append('c')]
  const reply = writer.carryOut({ now: 1, notes: [], first: 4, calls })
  expect(reply).toMatchObject({ type: 'done', skipped: 2, answers: [[[expect.any(String), 1, false]]] })
  expect(writer.kept()).toEqual([['c', 1]])
})

test('a call that timed out before the commit is rolled back, and the other calls are carried out without it', async () => {
  await using writer = await start([3, 4, 4, 5, 5, 5])
  const calls = [append('a'), append('b'), append('c')]
  const reply = writer.carryOut({
    now: 1,
    notes: [['received', ANN, { epoch: 'x', seq: 1 }]],
    first: 4,
    calls,
  })
  expect(reply).toMatchObject({ type: 'done', skipped: 2, answers: [[[expect.any(String), 1, false]]] })
  expect(writer.kept()).toEqual([['c', 1]])
})

describe('a fault of our own code in one step of a batch', () => {
  const claim = { tenant: 'acme', key: 'k', fingerprint: 'f', id: 'i' }
  const refuseKeys =
    "CREATE TRIGGER full BEFORE INSERT ON keys BEGIN SELECT raise(ABORT, 'no more keys'); END"

  test('fails only that step, and leaves no trace in the file or the caches', async () => {
    await using writer = await start([], { ...LIMITS, maxEntries: 1 })
    const run = (calls: Call[]) => writer.carryOut({ now: 1, notes: [], first: 1, calls })
    run([append('a')])
    writer.db.run(refuseKeys)
    expect(run([append('b'), ['reserve', claim], append('c'), ['totals']])).toMatchObject({
      type: 'done',
      answers: [
        [[expect.any(String), 2, false]],
        undefined,
        [[expect.any(String), 3, false]],
        { messages: 1, users: 1 },
      ],
      faults: [{ answer: 1, error: { message: 'no more keys' } }],
      observerCalls: [
        ['left', ANN, { state: 'dropped' }],
        ['left', ANN, { state: 'dropped' }],
      ],
    })
    expect(writer.kept().at(-1)).toEqual(['c', 3])
  })

  test('in a note is reported without an index among the answers', async () => {
    await using writer = await start([])
    writer.db.run("CREATE TRIGGER never BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'never'); END")
    const reply = writer.carryOut({ now: 1, notes: [], first: 1, calls: [append('a')] })
    const [epoch] = reply.type === 'done' ? (reply.answers as [[[string]]])[0][0] : ['']
    const notes: Call[] = [['handed', ANN, epoch, [1], 1]]
    expect(writer.carryOut({ now: 1, notes, first: 2, calls: [append('b')] })).toMatchObject({
      answers: [[[epoch, 2, false]]],
      faults: [{ answer: undefined, error: { message: 'never' } }],
    })
  })

  test('in purging does not fail appends, and purging pauses for at least a minute', async () => {
    await using writer = await start([], { ...LIMITS, maxEntries: 100, retentionMs: 10 })
    let first = 1
    const at = (now: number) => writer.carryOut({ now, notes: [], first: first++, calls: [append(`${now}`)] })
    at(1)
    writer.db.run("CREATE TRIGGER never BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'never'); END")
    const faults = [20, 21, 60_019, 60_020].map(now => {
      const reply = at(now)
      return reply.type === 'done' ? [reply.answers.length, reply.faults.length] : reply
    })
    expect(faults).toEqual([
      [1, 1],
      [1, 0],
      [1, 0],
      [1, 1],
    ])
  })

  test('is distinguished from a file that cannot be written', async () => {
    await using writer = await start([])
    using other = new Database(writer.path)
    other.run('BEGIN IMMEDIATE')
    expect(writer.carryOut({ now: 1, notes: [], first: 1, calls: [append('a')] })).toEqual({
      type: 'failed',
      reason: expect.stringContaining('locked'),
    })
  })
})

describe('the cleanup of a commit sees the changes of the same commit:', () => {
  const DAY = 86_400_000

  test('a log that was idle for 30 days and gets an append is not forgotten', async () => {
    await using writer = await start([])
    let first = 1
    const run = (now: number, calls: Call[]) => writer.carryOut({ now, notes: [], first: first++, calls })
    run(1, [append('a')])
    run(1 + 2 * LIMITS.retentionMs, [['cleanUp', 'entries']])
    const reply = run(31 * DAY, [append('b'), ['cleanUp', 'logs'], append('c'), ['totals']])
    expect(reply).toMatchObject({
      answers: [[[expect.any(String), 2, false]], false, [[expect.any(String), 3, false]], { messages: 2 }],
    })
    expect(writer.kept()).toEqual([
      ['b', 2],
      ['c', 3],
    ])
    expect(writer.db.query('SELECT seq FROM logs').values()).toEqual([[3]])
  })

  test('any calls have the same effect in one commit as one by one', async () => {
    const property = fc.asyncProperty(anyBatches, async batches => {
      await using together = await start([], SMALL)
      await using single = await start([], SMALL)
      let now = 1_700_000_000_000
      for (const { wait, calls } of batches) {
        now += wait
        const all = together.carry(now, calls)
        expect(calls.flatMap(call => single.carry(now, [call]))).toEqual(all)
        expect(single.dump()).toEqual(together.dump())
        expect(together.carry(now, [['totals']])).toMatchObject([{ bytes: together.bytes() }])
        expect(together.sharers()).toEqual([])
      }
    })
    await fc.assert(property, { numRuns: 100, interruptAfterTimeLimit: 20_000 })
  }, 60_000)
})

test('entries beyond a lowered limit are evicted in steps', async () => {
  const limits = { ...LIMITS, maxEntries: 1_000 }
  await using writer = await start([], limits)
  const many = Array.from({ length: 250 }, (_, n) => append(`${n}`))
  writer.carryOut({ now: 1, notes: [], first: 1, calls: many })
  const smaller = createWriter({
    db: writer.db,
    lives: { number: 1, names: ['life'] },
    limits: { ...LIMITS, maxEntries: 3 },
    givenUp: () => 0,
  })
  const left = () => {
    const reply = smaller({ now: 1, notes: [], first: 1, calls: [append(crypto.randomUUID()), ['totals']] })
    return reply.type === 'done' ? reply.answers[1] : reply
  }
  const sizes = [left(), left(), left(), left()]
  expect(sizes).toMatchObject([151, 52, 3, 3].map(messages => ({ messages, users: 1 })))
})

test('many entries that end at once leave in steps, and overflow evicts no unexpired entry', async () => {
  const limits = { ...LIMITS, maxEntries: 2_000 }
  await using writer = await start([], limits)
  const short: Call[] = Array.from({ length: 1_990 }, (_, n) => [
    'append',
    [[ANN, `s${n}`, '{', 'e', 1, 0, 10, undefined]],
  ])
  const long = Array.from({ length: 10 }, (_, n) => append(`l${n}`))
  writer.carryOut({ now: 1, notes: [], first: 1, calls: [...short, ...long] })
  // The next batch may remove twice what a batch appended.
  writer.carryOut({ now: 1, notes: [], first: 1, calls: [] })
  const more = Array.from({ length: 600 }, (_, n) => append(`m${n}`))
  const reply = writer.carryOut({ now: 11, notes: [], first: 1, calls: more })
  const calls = reply.type === 'done' ? reply.observerCalls : []
  expect(calls.length).toBe(600)
  expect(calls.every(each => each[0] === 'left' && each[2].state === 'expired')).toBe(true)
  for (let turns = 0; turns < 3; turns++) writer.carryOut({ now: 11, notes: [], first: 1, calls: [] })
  const counted = writer.carryOut({ now: 11, notes: [], first: 1, calls: [['totals']] })
  expect(counted).toMatchObject({ answers: [{ messages: 610, users: 1 }] })
})

test('a body is stored once for all recipients of a notification, and is deleted with the last entry', async () => {
  await using writer = await start([], { ...LIMITS, retentionMs: 1_000, acknowledged: true })
  const body = `{"payload":"${'x'.repeat(10_000)}\ud800"`
  const owners = Array.from({ length: 100 }, (_, n) => userTopic('acme', `u${n}`))
  const drafts = owners.map((owner, n) => row(owner, 'a', 1, n === 0 ? body : undefined))
  const [appended] = writer.carry(1, [['append', drafts]])
  expect(appended).toHaveLength(100)
  expect(writer.db.query('SELECT entries, length(text) > 10000 FROM bodies').values()).toEqual([[100, 1]])
  expect(writer.db.query('SELECT count(body) FROM entries').values()).toEqual([[0]])
  // A retry adds neither entries nor a body.
  writer.carry(2, [['append', drafts]])
  expect(writer.db.query('SELECT entries FROM bodies').values()).toEqual([[100]])
  writer.carry(3, [['handed', owners[7] ?? ANN, EPOCH, [1], 3]])
  expect(writer.carry(4, [['redeliver', owners[7] ?? ANN, { epoch: EPOCH, seq: 1 }, 3]])).toEqual([
    { body, redelivered: 1 },
  ])
  writer.carry(1_002, [])
  expect(writer.db.query('SELECT * FROM bodies').all()).toEqual([])
})

describe('bounds on stored bytes:', () => {
  const CY = userTopic('globex', 'cy')
  const small = LOG_BYTES + ENTRY_BYTES + 1

  test('an append beyond a bound is refused and leaves no trace, and other calls continue', async () => {
    await using writer = await start([], { ...LIMITS, maxBytes: 3 * small, tenantMaxBytes: 2 * small })
    const one = (owner: Topic, id: string): Call => ['append', [row(owner, id, 1, '{')]]
    expect(writer.carry(1, [one(ANN, 'a'), one(BOB, 'b'), one(ANN, 'c'), ['totals']])).toEqual([
      [[EPOCH, 1, false]],
      [[EPOCH, 1, false]],
      'full',
      { messages: 2, users: 2, bytes: 2 * small },
    ])
    // A retry of stored drafts adds nothing; another tenant has room.
    expect(writer.carry(2, [one(ANN, 'a'), one(CY, 'd'), one(CY, 'e'), ['totals']])).toEqual([
      [[EPOCH, 1, true]],
      [[EPOCH, 1, false]],
      'full',
      { messages: 3, users: 3, bytes: 3 * small },
    ])
    expect(writer.bytes()).toBe(3 * small)
    expect(writer.kept()).toEqual([
      ['a', 1],
      ['b', 1],
      ['d', 1],
    ])
  })

  test('a send to many users is stored completely or not at all, a refused one reports no eviction, and its body counts once', async () => {
    const limits = { ...LIMITS, maxEntries: 1, tenantMaxBytes: 2 * small + 2 * ENTRY_BYTES + 10 }
    await using writer = await start([], limits)
    writer.carry(1, [
      ['append', [row(ANN, 'a', 1, '{')]],
      ['append', [row(BOB, 'b', 1, '{')]],
    ])
    const many = (id: string, body: string): Call => [
      'append',
      [row(ANN, id, 1, body), row(BOB, id, 1, undefined)],
    ]
    const reply = writer.carryOut({ now: 2, notes: [], first: 1, calls: [many('c', '{'.repeat(11))] })
    expect(reply).toMatchObject({ answers: ['full'], observerCalls: [] })
    expect([writer.kept(), writer.bytes()]).toEqual([
      [
        ['a', 1],
        ['b', 1],
      ],
      2 * small,
    ])
    expect(writer.carry(3, [many('d', '{'.repeat(10))])).toEqual([
      [
        [EPOCH, 2, false],
        [EPOCH, 2, false],
      ],
    ])
    expect(writer.carry(3, [['totals']])).toMatchObject([{ messages: 2, bytes: writer.bytes() }])
  })

  test('removed entries and forgotten users make room again', async () => {
    await using writer = await start([], { ...LIMITS, maxBytes: 2 * small })
    const one = (owner: Topic, id: string): Call => ['append', [row(owner, id, 1, '{')]]
    expect(writer.carry(1, [one(ANN, 'a'), one(BOB, 'b'), one(CY, 'c')]).at(-1)).toBe('full')
    const later = 31 * 86_400_000
    writer.carry(later, [
      ['cleanUp', 'entries'],
      ['cleanUp', 'logs'],
    ])
    expect(writer.carry(later, [['totals'], one(CY, 'c')])).toMatchObject([
      { messages: 0, users: 0, bytes: 0 },
      [[expect.any(String), 1, false]],
    ])
  })
})

test('cleanup keeps pace with appends: ended entries leave and the file stops growing', async () => {
  const limits = { ...LIMITS, maxEntries: 1_000_000, retentionMs: 3_000 }
  await using writer = await start([], limits)
  const owners = Array.from({ length: 50 }, (_, n) => userTopic('acme', `u${n}`))
  const body = '{'.repeat(300)
  const append = (id: string): Call => [
    'append',
    Array.from({ length: 2_000 }, (_, n) => row(owners[n % 50] ?? ANN, `${id}-${n}`, 1, body)),
  ]
  const pages = () => Number(writer.db.query('PRAGMA page_count').values()[0]?.[0])
  let now = 1
  let settled = 0
  for (let n = 0; n < 12; n++) {
    now += 1_000
    const calls: Call[] = n % 2 === 0 ? [append(`${n}`), ['cleanUp', 'entries']] : [append(`${n}`)]
    writer.carry(now, calls)
    if (n === 7) settled = pages()
  }
  // Four batches have time left; the next batch purges one more.
  expect(writer.carry(now, [['totals']])).toMatchObject([{ messages: 4 * 2_000 }])
  expect(pages()).toBeLessThan(settled * 1.15)
}, 30_000)
