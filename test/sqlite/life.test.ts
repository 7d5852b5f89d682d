import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { startOf } from '../../src/dispatch/start.ts'
import { formatCursor } from '../../src/notification/cursor.ts'
import { userTopic } from '../../src/notification/topic.ts'
import type { Draft, UserLog } from '../../src/store/store.ts'
import { fakeClock, LIMITS } from '../contract/store.contract.ts'
import { openPlace, type StorePlace, storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

const ANN = userTopic('acme', 'ann')
const BOB = userTopic('acme', 'bob')
const DAY = 86_400_000

const draft = (id: string, owner = ANN): Draft => ({
  owner,
  id,
  body: '{',
  eventType: 'e',
  occurredAt: 1,
  priority: 'Normal',
})

const append = async (log: UserLog, count: number, owner = ANN) => {
  for (let n = 0; n < count; n++) await log.append([draft(crypto.randomUUID(), owner)])
  return (await log.open(owner)).head
}

/** Replaces the file with a copy of itself, as a restore does. */
async function restore({ directory, path }: StorePlace): Promise<void> {
  await Bun.$`cp ${path} ${directory}/backup && rm -f ${path} ${path}-wal ${path}-shm && cp ${directory}/backup ${path}`
}

async function once<T>(
  place: StorePlace,
  look: (log: UserLog) => Promise<T>,
  options: Parameters<typeof openPlace>[1] = {},
): Promise<T> {
  await using opened = await openPlace(place, options)
  return await look(opened.store.log)
}

describe('the life of a file', () => {
  test('continues after a restart of the service and after the file is renamed', async () => {
    await using place = await storePlace()
    const before = await once(place, log => append(log, 3))
    expect(await once(place, log => log.open(ANN))).toMatchObject({ head: before, bases: [] })
    await Bun.$`mv ${place.path} ${place.directory}/other.db`
    const moved = { path: `${place.directory}/other.db` }
    await using opened = await openPlace(moved)
    expect(await opened.store.log.open(ANN)).toMatchObject({ head: before, bases: [] })
  })

  test('changes after a restore: logs get a new epoch, with a base up to which both lives agree', async () => {
    await using place = await storePlace()
    const before = await once(place, log => append(log, 3))
    await restore(place)
    await once(place, async log => {
      const met = await log.open(ANN)
      expect(met).toMatchObject({ head: { seq: 3 }, bases: [before] })
      expect(met.head.epoch).not.toBe(before.epoch)
      expect(await log.heads([ANN, BOB])).toEqual([met.head, { epoch: met.head.epoch, seq: 0 }])
      expect((await log.read(ANN, 0, { entries: 9, bytes: 999 })).epoch).toBe(met.head.epoch)
      expect(await append(log, 2)).toEqual({ epoch: met.head.epoch, seq: 5 })
      expect((await log.open(ANN)).bases).toEqual([before])
      expect((await append(log, 1, BOB)).epoch).not.toBe(before.epoch)
    })
  })

  test('changes with a backup taken from a running service, so that no client misses later entries', async () => {
    await using place = await storePlace()
    const { before, lost } = await once(place, async log => {
      const before = await append(log, 2)
      using other = new Database(place.path)
      other.run(`VACUUM INTO '${place.directory}/backup'`)
      return { before, lost: await append(log, 3) }
    })
    await Bun.$`rm -f ${place.path} ${place.path}-wal ${place.path}-shm`
    await Bun.$`cp ${place.directory}/backup ${place.path}`
    await once(place, async log => {
      const opened = await log.open(ANN)
      expect(opened.bases).toEqual([before])
      expect(startOf(opened, { cursor: formatCursor(lost) })).toEqual({
        position: 2,
        recovered: false,
        reason: 'epoch_changed',
      })
    })
  })

  test('changes, and receipts and acknowledgements of an earlier life are ignored', async () => {
    await using place = await storePlace()
    const before = await once(place, log => append(log, 3))
    await restore(place)
    await using opened = await openPlace(place, { limits: { acknowledged: true } })
    const { log, acks } = opened.store
    expect(await acks.ackThrough(ANN, before)).toBeUndefined()
    log.received(ANN, before)
    const { epoch } = (await log.open(ANN)).head
    expect(await acks.ackThrough(ANN, { epoch, seq: 2 })).toBe(2)
    expect((await log.open(ANN)).received).toBe(0)
  })

  test('stays known to logs after it ends, for the last eight lives', async () => {
    await using place = await storePlace()
    const heads = [await once(place, log => append(log, 1))]
    for (let n = 0; n < 10; n++) {
      await restore(place)
      // Only every second life appends. The others leave no trace in the log.
      heads.push(
        await once(place, async log => (n % 2 === 0 ? append(log, 1) : (await log.open(ANN)).head), {
          limits: { maxEntries: 100 },
        }),
      )
    }
    expect(new Set(heads.map(({ epoch }) => epoch)).size).toBe(11)
    const { head, bases } = await once(place, log => log.open(ANN))
    expect(head).toEqual(heads.at(-1) ?? head)
    expect(bases).toEqual(heads.slice(-9, -1))
  })

  test('changes after a restart of the system with STORE_SYNC=normal, but not with full', async () => {
    await using place = await storePlace()
    const reboot = () => {
      using db = new Database(place.path)
      db.run("UPDATE service SET boot = 'another'")
    }
    const full = await once(place, log => append(log, 1))
    reboot()
    expect((await once(place, log => log.open(ANN), { sync: 'normal' })).head).toEqual(full)
    expect((await once(place, log => log.open(ANN), { sync: 'normal' })).head).toEqual(full)
    reboot()
    // The setting with which the file was written before the system restart decides.
    const { head, bases } = await once(place, log => log.open(ANN))
    expect([head.seq, head.epoch === full.epoch, bases]).toEqual([1, false, [full]])
    reboot()
    expect((await once(place, log => log.open(ANN))).head).toEqual(head)
  })
})

test('a log that was forgotten 30 days after its last append returns with a new epoch', async () => {
  await using place = await storePlace()
  const clock = fakeClock()
  await using opened = await openPlace(place, { clock, limits: { cleanupMs: 20 } })
  const { log } = opened.store
  const ann = await append(log, 2)
  clock.time += DAY
  await log.append([draft('of bob', BOB)])
  const bob = (await log.open(BOB)).head
  clock.time += 29 * DAY
  // When this entry is gone, the cleanup has visited everything.
  await eventually(async () => (await log.report('acme', 'of bob', { limit: 1 })) === undefined)
  expect((await log.open(ANN)).head).toEqual(ann)
  clock.time += 1
  await eventually(async () => (await log.open(ANN)).head.seq === 0)
  const { head, removedThrough, received } = await log.open(ANN)
  expect([head.epoch === ann.epoch, removedThrough, received]).toEqual([false, 0, 0])
  expect((await log.open(BOB)).head).toEqual(bob)
  expect(await append(log, 1)).toEqual({ epoch: head.epoch, seq: 1 })
})

test('the record of an entry that left its log is deleted when it reaches the retention age', async () => {
  await using place = await storePlace()
  const clock = fakeClock()
  await using opened = await openPlace(place, { clock, limits: { cleanupMs: 20, maxEntries: 1 } })
  const { log } = opened.store
  for (const id of ['dropped', 'kept']) await log.append([draft(id)])
  const stateOf = async (id: string) => (await log.report('acme', id, { limit: 1 }))?.recipients[0]?.state
  clock.time += LIMITS.retentionMs
  expect([await stateOf('dropped'), await stateOf('kept')]).toEqual(['dropped', 'queued'])
  clock.time += 1
  await eventually(async () => (await stateOf('kept')) === undefined)
  expect(await stateOf('dropped')).toBeUndefined()
  await eventually(() => opened.notes.length === 2)
  expect(opened.notes).toEqual([
    ['left', ANN, 'dropped', true, false],
    ['left', ANN, 'expired', true, false],
  ])
})

test('cleanup runs in steps and visits everything', async () => {
  await using place = await storePlace()
  const clock = fakeClock()
  await using opened = await openPlace(place, { clock, limits: { cleanupMs: 20 } })
  const { log, idempotency } = opened.store
  const owners = Array.from({ length: 2_500 }, (_, n) => userTopic('acme', `${n}`))
  const epochs = new Set<string>()
  // In portions, which a starved writer commits in time, too.
  for (let from = 0; from < owners.length; from += 250) {
    const some = owners.slice(from, from + 250)
    for (const { cursor } of await log.append(some.map(owner => draft('a', owner)))) epochs.add(cursor.epoch)
    const claims = some.map(key => ({ tenant: 'acme', key, fingerprint: 'f', id: 'i' }))
    await Promise.all(claims.map(claim => idempotency.reserve(claim)))
  }
  clock.time += 31 * DAY
  await eventually(async () =>
    (await log.heads(owners)).every(({ epoch, seq }) => seq === 0 && !epochs.has(epoch)),
  )
  await eventually(() => opened.notes.length >= 2_500)
  expect(opened.notes.filter(([what]) => what === 'left')).toHaveLength(2_500)
  await opened[Symbol.asyncDispose]()
  using db = new Database(place.path)
  const counts = ['entries', 'logs', 'keys'].map(table =>
    db.query(`SELECT count(*) AS n FROM ${table}`).get(),
  )
  expect(counts).toEqual([{ n: 0 }, { n: 0 }, { n: 0 }])
})
