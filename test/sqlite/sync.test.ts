import { describe, expect, spyOn, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { userTopic } from '../../src/notification/topic.ts'
import type { Draft } from '../../src/store/store.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startService } from '../support/service.ts'
import { openPlace, type StorePlace, storePlace } from '../support/store-file.ts'
import { canTrace } from '../support/strace.ts'

const SENDS = 20

const draft = (id: string, owner = userTopic('acme', 'ann')): Draft => ({
  owner,
  id,
  body: `{"id":"${id}"`,
  eventType: 'e',
  occurredAt: 1,
  priority: 'Normal',
})

const WAL_HEADER = 32
const FRAME_HEADER = 24

/**
 * Counts transactions in the write-ahead log. The last frame of a transaction contains the size of the file. Any other
 * frame contains 0 (sqlite.org/fileformat2.html §4.1). Valid until the log restarts.
 */
async function commitsIn({ path }: StorePlace): Promise<number> {
  const wal = await readFile(`${path}-wal`)
  const frame = FRAME_HEADER + wal.readUInt32BE(8)
  let commits = 0
  for (let at = WAL_HEADER; at + frame <= wal.length; at += frame) if (wal.readUInt32BE(at + 4) > 0) commits++
  return commits
}

describe('one commit is shared by', () => {
  test('appends of one turn', async () => {
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 1_000 } })
    const { log } = opened.store
    await log.append([draft('first')])
    const before = await commitsIn(place)
    await Promise.all(Array.from({ length: 500 }, (_, n) => log.append([draft(`${n}`)])))
    expect((await commitsIn(place)) - before).toBe(1)
  })

  test('appends that arrive during another commit', async () => {
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 1_000 } })
    const { log } = opened.store
    await log.append([draft('first')])
    const before = await commitsIn(place)
    const under = awaitedLater(log.append([draft('under way')]))
    await new Promise(setImmediate)
    const waiting = Array.from({ length: 20 }, async (_, n) => {
      // Each append in its own turn.
      for (let turns = 0; turns < n; turns++) await Promise.resolve()
      return log.append([draft(`${n}`)])
    })
    await Promise.all([under, ...waiting])
    expect((await commitsIn(place)) - before).toBe(2)
  })

  test('acknowledgements, keys, templates and revocations of one turn', async () => {
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { acknowledged: true } })
    const { log, acks, idempotency, templates, revocations } = opened.store
    const owner = userTopic('acme', 'ann')
    await log.append([draft('a'), draft('b')])
    const before = await commitsIn(place)
    await Promise.all([
      log.append([draft('c')]),
      acks.ack(owner, ['a']),
      acks.ack(owner, ['b']),
      idempotency.reserve({ tenant: 'acme', key: 'k', fingerprint: 'f', id: 'i' }),
      templates.delete('acme', 't'),
      revocations.revoke(owner, 1, opened.clock.time + 1),
    ])
    expect((await commitsIn(place)) - before).toBe(1)
  })

  test('notes of handovers and receipts, which wait for the next write', async () => {
    await using place = await storePlace()
    await using opened = await openPlace(place)
    const { log } = opened.store
    const owner = userTopic('acme', 'ann')
    const [appended] = await log.append([draft('a')])
    const epoch = appended?.cursor.epoch ?? ''
    const before = await commitsIn(place)
    for (let n = 0; n < 100; n++) log.handed(owner, epoch, [1])
    log.received(owner, { epoch, seq: 1 })
    await log.append([draft('b')])
    expect((await commitsIn(place)) - before).toBe(1)
    expect((await log.open(owner)).received).toBe(1)
    expect((await log.report('acme', 'a', { limit: 1 }))?.recipients[0]?.attempts).toBe(100)
  })
})

const isFsync = (line: string): boolean => /\bf(?:data)?sync(?:\(| resumed).*= 0$/.test(line)

/** Number of syncs before the answer, for each send in the trace of a service. */
function syncsOf(trace: string): readonly number[] {
  const sends: number[] = []
  let syncs: number | undefined
  for (const line of trace.split('\n')) {
    if (line.includes('"POST /api')) syncs = 0
    else if (syncs !== undefined && isFsync(line)) syncs++
    else if (syncs !== undefined && line.includes('"HTTP/1.1 200')) {
      sends.push(syncs)
      syncs = undefined
    }
  }
  return sends
}

async function traced(sync: string): Promise<readonly number[]> {
  await using place = await storePlace()
  const out = `${place.directory}/trace`
  const calls = 'trace=fsync,fdatasync,recvfrom,recvmsg,read,sendto,sendmsg,write,writev'
  // -D keeps the service our own child, so that it gets the signal to stop.
  const strace = ['strace', '-D', '-f', '-qq', '-s', '32', '-e', calls, '-e', 'signal=none', '-o', out]
  const program = { command: [...strace, process.execPath, 'src/main.ts'], cwd: `${import.meta.dir}/../..` }
  const env = { STORE_URL: place.url, STORE_SYNC: sync, QUEUE_ENABLED: 'true' }
  await using service = await startService(env, program)
  for (let n = 0; n < SENDS; n++) expect((await service.send('u', n)).status).toBe(200)
  service.signal('SIGTERM')
  await service.ended
  return syncsOf(await Bun.file(out).text())
}

/** The setup message that the writer gets. */
async function told(sync: 'full' | 'normal'): Promise<unknown> {
  await using place = await storePlace()
  using posted = spyOn(Worker.prototype, 'postMessage')
  await using _opened = await openPlace(place, { sync })
  return posted.mock.calls[0]?.[0]
}

describe('STORE_SYNC', () => {
  test('full syncs each send to the disk before its answer', async () => {
    expect(await told('full')).toMatchObject({ type: 'open', synchronous: 'FULL' })
    if (!canTrace()) return
    const syncs = await traced('full')
    expect(syncs).toHaveLength(SENDS)
    expect(syncs.filter(count => count === 0)).toEqual([])
  }, 30_000)

  test('normal answers without waiting for the disk', async () => {
    expect(await told('normal')).toMatchObject({ type: 'open', synchronous: 'NORMAL' })
    if (!canTrace()) return
    const syncs = await traced('normal')
    expect(syncs).toHaveLength(SENDS)
    expect(syncs.filter(count => count > 0)).toEqual([])
  }, 30_000)
})
