import { Database } from 'bun:sqlite'
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { open } from 'node:fs/promises'
import { SECRET } from '../support/app.ts'
import { spawnService, startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { openPlace, type StorePlace, storePlace } from '../support/store-file.ts'

setDefaultTimeout(20_000)

const PAGE = 4_096

/** Creates a store file with content, and closes it. */
async function used(place: StorePlace): Promise<void> {
  await using opened = await openPlace(place)
  const template = { id: 't', name: 'n', eventType: 'e', defaultPriority: 'Normal' as const, strict: false }
  for (let n = 0; n < 20; n++)
    await opened.store.templates.create(
      'acme',
      { ...template, id: `${n}`, payloadTemplate: `"${'x'.repeat(5_000)}"`, createdAt: 1, updatedAt: 1 },
      100,
    )
}

async function overwrite({ path }: StorePlace, from: number, bytes: number): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(Buffer.alloc(bytes, 0x5a), 0, bytes, from)
}

function tell({ path }: StorePlace, ...statements: readonly string[]): void {
  using db = new Database(path)
  for (const statement of statements) db.run(statement)
}

async function refusalOf(url: string) {
  const elapsed = startStopwatch()
  const child = spawnService({ JWT_SECRET: SECRET, STORE_URL: url })
  const [code, stderr, stdout] = await Promise.all([
    child.exited,
    new Response(child.stderr).text(),
    new Response(child.stdout).text(),
  ])
  expect(elapsed()).toBeLessThan(10_000)
  expect([code, stdout]).toEqual([1, ''])
  return stderr
}

describe('the service refuses to start, with one line and within seconds, for', () => {
  const rows: readonly (readonly [what: string, make: (place: StorePlace) => unknown, expected: string])[] = [
    ['a file that is no SQLite file', place => Bun.write(place.path, 'x'.repeat(10_000)), 'a SQLite file'],
    [
      'a damaged file',
      async place => {
        await used(place)
        await overwrite(place, 8 * PAGE, 10 * PAGE)
      },
      'an undamaged SQLite file',
    ],
    [
      'a file whose beginning is damaged',
      async place => {
        await used(place)
        await overwrite(place, 100, PAGE)
      },
      'an undamaged SQLite file',
    ],
    [
      'the file of a newer version',
      async place => {
        await used(place)
        tell(place, 'PRAGMA user_version = 99')
      },
      'a file of this version or an older one, not of a newer one',
    ],
    [
      'the file of another program',
      place => tell(place, 'CREATE TABLE mine (a)'),
      'a file of this service, or none',
    ],
  ]
  for (const [what, make, expected] of rows)
    test(what, async () => {
      await using place = await storePlace()
      await make(place)
      expect(await refusalOf(place.url)).toBe(`STORE_URL: expected ${expected}\n`)
    })

  test('a path without write permission', async () => {
    await using place = await storePlace()
    const writable = 'STORE_URL: expected a file that can be created, read and written'
    expect(await refusalOf(`sqlite:${place.directory}`)).toBe(`${writable} (EISDIR)\n`)
    expect(await refusalOf(`sqlite:${place.directory}/none/ara.db`)).toBe(`${writable} (ENOENT)\n`)
    expect(await refusalOf('sqlite:/proc/ara.db')).toMatch(/^STORE_URL: expected .*\n$/)
  })

  test('a file that another process has open, even under another name, and only while it is open', async () => {
    await using place = await storePlace()
    await using first = await startService({ STORE_URL: place.url })
    const taken = 'STORE_URL: expected a file that no other process has open\n'
    expect(await refusalOf(place.url)).toBe(taken)
    await Bun.$`ln -s ${place.path} ${place.directory}/other.db`
    expect(await refusalOf(`sqlite:${place.directory}/other.db`)).toBe(taken)
    first.signal('SIGKILL')
    await first.ended
    await using second = await startService({ STORE_URL: place.url })
    expect((await fetch(`${second.url}/health/ready`)).status).toBe(200)
  })
})

test('a refused file is left as it was', async () => {
  await using newer = await storePlace()
  await used(newer)
  tell(newer, 'PRAGMA user_version = 99')
  await using foreign = await storePlace()
  tell(foreign, 'CREATE TABLE mine (a)')
  for (const { path, url } of [newer, foreign]) {
    const before = await Bun.file(path).bytes()
    await refusalOf(url)
    expect(await Bun.file(path).bytes()).toEqual(before)
  }
})

test('only the owner can read the store file and the files beside it', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place)
  await opened.store.templates.delete('acme', 'none')
  const modes = await Bun.$`stat -c '%n %a' ara.db ara.db-wal ara.db-shm ara.db.lock`
    .cwd(place.directory)
    .text()
  expect(modes).toBe('ara.db 600\nara.db-wal 600\nara.db-shm 600\nara.db.lock 600\n')
})
