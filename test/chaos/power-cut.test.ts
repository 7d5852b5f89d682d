import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createRandom } from '../support/random.ts'
import { startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'
import { canTrace } from '../support/strace.ts'
import { post } from './crash.ts'
import { type Act, CALLS, Disk, luck, readTrace } from './power-cut.ts'

const SENDS = 60
const CALLERS = 4
/** Cuts at syncs and between them. */
const CUTS_BETWEEN = 60
const seed = Number(process.env['POWER_SEED'] ?? 1)

/** Runs a service with its files in `directory` while sends arrive. Resolves with its acts on those files. */
async function record(directory: string, url: string): Promise<readonly Act[]> {
  const out = join(directory, 'trace')
  const strace = [
    'strace',
    '-D',
    '-f',
    '-qq',
    '-y',
    '-xx',
    '-s',
    '10000000',
    '-e',
    CALLS,
    '-e',
    'signal=none',
    '-o',
    out,
  ]
  const program = {
    command: [...strace, process.execPath, 'src/main.ts'],
    cwd: join(import.meta.dir, '../..'),
  }
  const env = { STORE_URL: url, STORE_SYNC: 'full', QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '10' }
  await using service = await startService(env, program)
  let left = SENDS
  const send = async (): Promise<void> => {
    while (left-- > 0) {
      const body = { target_user_id: `u${left % 10}`, event_type: 'e', payload: 'x'.repeat(left * 40) }
      expect((await post(service.url, '/send', body)).status).toBe(200)
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, send))
  // A next answer proves that the trace holds the whole call of the last one.
  await fetch(`${service.url}/health/live`)
  service.signal('SIGKILL')
  await service.ended
  return readTrace(await Bun.file(out).text(), `${directory}/ara.db`)
}

/** Ids in the file of an image. Throws when the file is damaged. */
function idsIn(directory: string): ReadonlySet<string> {
  const db = new Database(join(directory, 'ara.db'))
  try {
    const check = db.query<{ quick_check: string }, []>('PRAGMA quick_check').all()
    if (check.some(({ quick_check }) => quick_check !== 'ok')) throw new Error('damaged')
    const tables = db.query("SELECT 1 FROM sqlite_schema WHERE name = 'entries'").all()
    if (tables.length === 0) return new Set()
    return new Set(
      db
        .query<{ id: string }, []>('SELECT id FROM entries')
        .all()
        .map(({ id }) => id),
    )
  } finally {
    db.close()
  }
}

describe('A power cut with STORE_SYNC=full', () => {
  test(`at any moment leaves a file that opens and holds every send answered before it (POWER_SEED=${seed})`, async () => {
    if (!canTrace()) return
    await using place = await storePlace()
    const acts = await record(place.directory, place.url)
    expect(acts.filter(({ type }) => type === 'answer')).toHaveLength(SENDS)
    const random = createRandom(seed)
    const between = new Set(Array.from({ length: CUTS_BETWEEN }, () => random.whole(0, acts.length - 1)))
    const disk = new Disk()
    let images = 0
    for (const [n, act] of acts.entries()) {
      disk.take(act)
      if (act.type !== 'sync' && act.type !== 'answer' && !between.has(n)) continue
      const image = join(place.directory, `image-${n}`)
      disk.image(image, `${place.directory}/`, act.type === 'sync' ? () => false : luck(random))
      const ids = disk.answered.size === 0 ? new Set() : idsIn(image)
      expect([n, [...disk.answered].filter(id => !ids.has(id))]).toEqual([n, []])
      rmSync(image, { recursive: true })
      images++
    }
    expect(images).toBeGreaterThan(SENDS)
  }, 60_000)
})

describe('the replay of a trace', () => {
  const hex = (text: string): string =>
    [...Buffer.from(text)].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  const ID = '11111111-1111-4111-8111-111111111111'
  const file = hex('/d/ara.db')
  const lines = [
    `7 pwrite64(3<${file}>, "${hex('abc')}", 3, 0) = 3`,
    `7 pwrite64(4<${hex('/other')}>, "${hex('abc')}", 3, 0) = 3`,
    `8 fdatasync(3<${file}> <unfinished ...>`,
    `7 pwrite64(3<${file}>, "${hex('Z')}", 1, 1) = 1`,
    '8 <... fdatasync resumed>) = 0',
    `7 sendto(9<${hex('socket:[1]')}>, "${hex(`HTTP/1.1 200 OK\r\n\r\n{"notification_id":"${ID}"}`)}", 80, 0, NULL, 0) = 80`,
    `7 ftruncate(3<${file}>, 2) = 0`,
    `7 unlink("${hex('/d/ara.db-wal')}") = 0`,
    `7 pwrite64(3<${file}>, "${hex('no')}", 2, 0) = -1 ENOSPC (No space left on device)`,
  ].join('\n')

  test('keeps the order of writes, syncs, answers, truncations and removals, and ignores failed calls', () => {
    const acts = readTrace(lines, '/d/ara.db')
    expect(acts.map(({ type }) => type)).toEqual(['write', 'write', 'sync', 'answer', 'truncate', 'remove'])
  })

  test('throws on a call it does not understand', () => {
    expect(() => readTrace(`7 writev(3<${file}>, [], 0) = 0`, '/d/ara.db')).toThrow('writev')
  })

  test('detects a send that was answered before its sync', async () => {
    if (!canTrace()) return
    await using place = await storePlace()
    const acts = await record(place.directory, place.url)
    const disk = new Disk()
    let lost = 0
    // Without its syncs nothing in the trace is safe.
    for (const [n, act] of acts.entries()) {
      if (act.type === 'sync' && disk.answered.size > 0) continue
      disk.take(act)
      if (act.type !== 'answer') continue
      const image = join(place.directory, `image-${n}`)
      disk.image(image, `${place.directory}/`, () => false)
      const ids = idsIn(image)
      lost += [...disk.answered].filter(id => !ids.has(id)).length
      rmSync(image, { recursive: true })
    }
    expect(lost).toBeGreaterThan(0)
  }, 60_000)
})
