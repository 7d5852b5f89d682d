import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { userTopic } from '../../src/notification/topic.ts'
import { APPLICATION_ID, ENTRY_BYTES, LOG_BYTES, STEPS } from '../../src/store/sqlite/schema.ts'
import { fakeClock } from '../contract/store.contract.ts'
import { openPlace, type StorePlace, storePlace } from '../support/store-file.ts'

const ANN = userTopic('acme', 'ann')
const BOB = userTopic('acme', 'bob')
const ALL = { entries: 100, bytes: 100_000 }

/** Writes a file of the first version of the service: two of four entries received, one evicted by overflow. */
function writeFirstVersion({ path }: StorePlace, now: number): void {
  using db = new Database(path, { create: true, strict: true })
  db.run('PRAGMA journal_mode = WAL')
  db.run(STEPS[0] ?? '')
  db.run(`PRAGMA application_id = ${APPLICATION_ID}`)
  db.run('PRAGMA user_version = 1')
  const { dev, ino, birthtimeNs } = statSync(path, { bigint: true })
  db.run("INSERT INTO service VALUES (1, 'old', ?, ?, ?, 'boot', 'full', NULL)", [
    `${dev}`,
    `${ino}`,
    `${birthtimeNs}`,
  ])
  db.run("INSERT INTO lives VALUES (1, 'old')")
  db.run("INSERT INTO logs VALUES (1, ?, 1, 'old', '', 5, 2, 3, ?, 0, 4, 0, 0)", [ANN, now])
  db.run("INSERT INTO logs VALUES (2, ?, 1, 'old', '', 1, 0, 0, ?, 0, 1, 0, 0)", [BOB, now])
  const insert = db.query(
    `INSERT INTO entries (n, log, seq, id, rank, occurred_at, ages_at, at, is_kept, state, attempts, event_type, body)
     VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, 'e', ?)`,
  )
  const add = (n: number, log: number, seq: number, state: number, isKept = 1) =>
    insert.run(n, log, seq, `i${n}`, now, now + 60_000, now, isKept, state, state, isKept ? '{"ü"' : null)
  add(1, 1, 1, 1)
  add(2, 1, 2, 0)
  add(3, 1, 3, 4, 0)
  add(4, 1, 4, 1)
  add(5, 1, 5, 0)
  add(6, 2, 1, 0)
}

test('a file of the first version is migrated without loss, with correct states and sizes', async () => {
  await using place = await storePlace()
  const clock = fakeClock()
  writeFirstVersion(place, clock.time)
  {
    await using opened = await openPlace(place, { clock, limits: { maxEntries: 100 } })
    const { log } = opened.store
    expect((await log.list(ANN, 0, ALL)).entries.map(({ seq, state, body }) => [seq, state, body])).toEqual([
      [1, 'received', '{"ü"'],
      [2, 'received', '{"ü"'],
      [4, 'sent', '{"ü"'],
      [5, 'queued', '{"ü"'],
    ])
    expect(await log.open(ANN)).toEqual({
      head: { epoch: 'old', seq: 5 },
      received: 2,
      removedThrough: 3,
      lostThrough: 3,
      bases: [],
    })
    expect(await log.append([{ ...draftOf('new'), owner: ANN }])).toMatchObject([{ cursor: { seq: 6 } }])
  }
  using db = new Database(place.path)
  expect(db.query('PRAGMA user_version').get()).toEqual({ user_version: STEPS.length })
  const body = Buffer.byteLength('{"ü"')
  expect(db.query('SELECT bytes FROM logs ORDER BY id').values()).toEqual([
    [LOG_BYTES + 6 * ENTRY_BYTES + 5 * body],
    [LOG_BYTES + ENTRY_BYTES + body],
  ])
})

const draftOf = (id: string) => ({
  id,
  body: '{"ü"',
  eventType: 'e',
  occurredAt: 1,
  priority: 'Normal' as const,
})
