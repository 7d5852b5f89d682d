import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { userTopic } from '../../src/notification/topic.ts'
import type { Call } from '../../src/store/sqlite/batch.ts'
import { openFile } from '../../src/store/sqlite/file.ts'
import { createWriter } from '../../src/store/sqlite/writer.ts'
import { LIMITS } from '../contract/store.contract.ts'
import { storePlace } from '../support/store-file.ts'

const ANN = userTopic('acme', 'ann')
const append = (id: string): Call => ['append', [[ANN, id, '{', 'e', 1, 1, undefined, undefined]]]

/** A writer in this thread; `givenUp` is what it finds each time it looks. */
async function start(givenUp: number[], limits = LIMITS) {
  const place = await storePlace()
  const file = openFile(place.path, 'normal')
  const db = new Database(place.path, { strict: true })
  const carryOut = createWriter({ db, lives: file.lives, limits, givenUp: () => givenUp.shift() ?? 0 })
  return {
    db,
    carryOut,
    kept: () => db.query('SELECT id, seq FROM entries ORDER BY n').values(),
    [Symbol.asyncDispose]: async () => {
      db.close()
      file[Symbol.dispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

test('what is given up before it begins is left out', async () => {
  await using writer = await start([5, 5])
  const calls = [append('a'), append('b'), append('c')]
  const reply = writer.carryOut({ now: 1, notes: [], first: 4, calls })
  expect(reply).toMatchObject({ type: 'done', skipped: 2, answers: [[[expect.any(String), 1, false]]] })
  expect(writer.kept()).toEqual([['c', 1]])
})

test('what is given up before the commit is taken back, and the others are carried out as if it had never been', async () => {
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

test('a batch in which one call fails leaves nothing behind, neither in the file nor in what is at hand', async () => {
  await using writer = await start([], { ...LIMITS, maxEntries: 1 })
  const run = (calls: Call[]) => writer.carryOut({ now: 1, notes: [], first: 1, calls })
  expect(run([append('a')])).toMatchObject({ type: 'done' })
  writer.db.run("CREATE TRIGGER full BEFORE INSERT ON keys BEGIN SELECT raise(ABORT, 'no more keys'); END")
  const claim = { tenant: 'acme', key: 'k', fingerprint: 'f', id: 'i' }
  expect(run([append('b'), ['reserve', claim], append('c')])).toEqual({
    type: 'failed',
    reason: 'no more keys',
  })
  expect(writer.kept()).toEqual([['a', 1]])
  expect(run([['totals']])).toMatchObject({ answers: [{ messages: 1, users: 1 }], told: [] })
  expect(run([append('d'), ['totals']])).toMatchObject({
    answers: [[[expect.any(String), 2, false]], { messages: 1, users: 1 }],
    told: [['left', ANN, { state: 'dropped' }]],
  })
})

test('more entries than the limit, since it was lowered, go a number at a time', async () => {
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
  expect(sizes).toEqual([151, 52, 3, 3].map(messages => ({ messages, users: 1 })))
})

test('a mass of entries that end at once leaves in steps, and overflow takes none that has time left', async () => {
  const limits = { ...LIMITS, maxEntries: 2_000 }
  await using writer = await start([], limits)
  const short: Call[] = Array.from({ length: 1_990 }, (_, n) => [
    'append',
    [[ANN, `s${n}`, '{', 'e', 1, 0, 10, undefined]],
  ])
  const long = Array.from({ length: 10 }, (_, n) => append(`l${n}`))
  writer.carryOut({ now: 1, notes: [], first: 1, calls: [...short, ...long] })
  const more = Array.from({ length: 600 }, (_, n) => append(`m${n}`))
  const reply = writer.carryOut({ now: 11, notes: [], first: 1, calls: more })
  const told = reply.type === 'done' ? reply.told : []
  expect(told.length).toBe(600)
  expect(told.every(each => each[0] === 'left' && each[2].state === 'expired')).toBe(true)
  for (let turns = 0; turns < 3; turns++) writer.carryOut({ now: 11, notes: [], first: 1, calls: [] })
  const counted = writer.carryOut({ now: 11, notes: [], first: 1, calls: [['totals']] })
  expect(counted).toMatchObject({ answers: [{ messages: 610, users: 1 }] })
})
