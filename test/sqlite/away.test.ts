import { describe, expect, test } from 'bun:test'
import { stat, truncate } from 'node:fs/promises'
import { API_KEY } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { type Service, startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { type StorePlace, storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

const USER = 'u'
const envOf = ({ url }: StorePlace) => ({
  STORE_URL: url,
  QUEUE_ENABLED: 'true',
  QUEUE_MAX_SIZE_PER_USER: '100000',
})

/** Ids of the sends with status 200. */
async function sendMany(service: Service, count: number): Promise<string[]> {
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => service.send(USER, n)))
  const bodies = await Promise.all(answers.map(async each => (await each.json()) as Message))
  return answers.flatMap((each, n) => (each.status === 200 ? [bodies[n].notification_id] : []))
}

async function keptBy(service: Service): Promise<string[]> {
  const url = `${service.url}/api/v1/users/${USER}/notifications?limit=1000`
  const answer = await fetch(url, { headers: { 'x-api-key': API_KEY } })
  return ((await answer.json()) as Message).notifications.map(({ id }: Message) => id)
}

const missing = (answered: readonly string[], kept: readonly string[]) =>
  answered.filter(id => !kept.includes(id))

const CASES: readonly [string, RegExp, (place: StorePlace) => Promise<unknown>][] = [
  ['deleted', /moved or deleted/, ({ path }) => Bun.$`rm ${path}`],
  [
    'deleted with all that lies beside it',
    /moved or deleted/,
    ({ path }) => Bun.$`rm ${path} ${path}-wal ${path}-shm`,
  ],
  ['moved', /moved or deleted/, ({ path }) => Bun.$`mv ${path} ${path}.elsewhere`],
  ['truncated', /truncated/, ({ path }) => truncate(path, 0)],
  ['left without its -wal', /-wal .* moved or deleted/, ({ path }) => Bun.$`rm ${path}-wal`],
]

describe('a store file of a running service', () => {
  test.each(CASES)(
    'that is %s makes sends fail, health and the log report it, and after kill -9 no accepted send is missing',
    async (_, reason, harm) => {
      await using place = await storePlace()
      const answered: string[] = []
      {
        await using service = await startService(envOf(place))
        answered.push(...(await sendMany(service, 50)))
        expect(answered).toHaveLength(50)
        await harm(place)
        const elapsed = startStopwatch(service.pid)
        expect(await sendMany(service, 50)).toEqual([])
        expect(elapsed()).toBeLessThan(2_000)
        expect((await fetch(`${service.url}/health/ready`)).status).toBe(503)
        expect((await service.line('store.away')).reason).toMatch(reason)
        // A batch that finds nothing left to do shows that all data is safe.
        expect(await sendMany(service, 1)).toEqual([])
        await eventually(async () => (await Bun.file(`${place.path}.copy`).exists()) === false)
        service.signal('SIGKILL')
        await service.ended
      }
      await using service = await startService(envOf(place))
      answered.push(...(await sendMany(service, 10)))
      expect(missing(answered, await keptBy(service))).toEqual([])
    },
    30_000,
  )

  test('with a truncated -wal makes sends fail, and a restart keeps the complete commits', async () => {
    await using place = await storePlace()
    const wal = `${place.path}-wal`
    {
      await using service = await startService(envOf(place))
      expect(await sendMany(service, 50)).toHaveLength(50)
      const { size } = await stat(wal)
      expect(await sendMany(service, 50)).toHaveLength(50)
      await truncate(wal, size + 5_000)
      expect(await sendMany(service, 50)).toEqual([])
      expect((await service.line('store.away')).reason).toContain('-wal beside the file was truncated')
      service.signal('SIGTERM')
      expect((await service.ended).code).toBe(0)
    }
    await using service = await startService(envOf(place))
    const answered = await sendMany(service, 10)
    const kept = await keptBy(service)
    expect(missing(answered, kept)).toEqual([])
    expect(kept.length).toBeGreaterThanOrEqual(60)
  }, 30_000)

  test('that is replaced makes sends fail, and the other file stays unchanged', async () => {
    await using place = await storePlace()
    await using other = await storePlace()
    {
      await using service = await startService(envOf(other))
      expect(await sendMany(service, 3)).toHaveLength(3)
      service.signal('SIGTERM')
      await service.ended
    }
    {
      await using service = await startService(envOf(place))
      expect(await sendMany(service, 50)).toHaveLength(50)
      await Bun.$`mv ${other.path} ${place.path}`
      expect(await sendMany(service, 50)).toEqual([])
      expect((await service.line('store.away')).reason).toContain('taken its place')
      service.signal('SIGTERM')
      expect((await service.ended).code).toBe(0)
    }
    await using service = await startService(envOf(place))
    expect(await keptBy(service)).toHaveLength(3)
  }, 30_000)

  test('that is moved while idle fails health within 3 s, and the service recovers without loss when it is moved back', async () => {
    await using place = await storePlace()
    const ready = async (service: Service) => (await fetch(`${service.url}/health/ready`)).status
    const answered: string[] = []
    {
      await using service = await startService(envOf(place))
      answered.push(...(await sendMany(service, 50)))
      await Bun.$`mv ${place.path} ${place.path}.elsewhere`
      const elapsed = startStopwatch(service.pid)
      await eventually(async () => (await ready(service)) === 503)
      expect(elapsed()).toBeLessThan(3_000)
      // Only the owner of the file may read the copy.
      await eventually(() => Bun.file(place.path).exists())
      expect((await stat(place.path)).mode & 0o777).toBe(0o600)
      await Bun.$`mv ${place.path}.elsewhere ${place.path}`
      await eventually(async () => (await ready(service)) === 200)
      answered.push(...(await sendMany(service, 50)))
      expect(answered).toHaveLength(100)
      service.signal('SIGKILL')
      await service.ended
    }
    await using service = await startService(envOf(place))
    expect(missing(answered, await keptBy(service))).toEqual([])
  }, 30_000)

  const DIRECTORIES: readonly [string, (directory: string) => Promise<unknown>][] = [
    ['moved', directory => Bun.$`mv ${directory} ${directory}.elsewhere`],
    ['replaced by a file', directory => Bun.$`mv ${directory} ${directory}.elsewhere && touch ${directory}`],
    [
      'replaced by a link to itself',
      directory => Bun.$`mv ${directory} ${directory}.elsewhere && ln -s ${directory} ${directory}`,
    ],
  ]

  test.each(DIRECTORIES)(
    'in a directory that is %s: sends are 503 and the service is not ready until the directory is back',
    async (_, harm) => {
      await using place = await storePlace()
      const ready = async (service: Service) => (await fetch(`${service.url}/health/ready`)).status
      const answered: string[] = []
      {
        await using service = await startService(envOf(place))
        answered.push(...(await sendMany(service, 50)))
        await harm(place.directory)
        const elapsed = startStopwatch(service.pid)
        const refused = await service.send(USER, 1)
        expect(refused.status).toBe(503)
        expect(((await refused.json()) as Message).error.code).toBe('STORE_UNAVAILABLE')
        await eventually(async () => (await ready(service)) === 503)
        expect(elapsed()).toBeLessThan(3_000)
        const health = (await (await fetch(`${service.url}/health`)).json()) as Message
        expect(health.store.status).toBe('unavailable')
        await Bun.$`rm -f ${place.directory} && mv ${place.directory}.elsewhere ${place.directory}`
        await eventually(async () => (await ready(service)) === 200)
        answered.push(...(await sendMany(service, 50)))
        expect(answered).toHaveLength(100)
        service.signal('SIGKILL')
        await service.ended
      }
      await using service = await startService(envOf(place))
      expect(missing(answered, await keptBy(service))).toEqual([])
    },
    30_000,
  )

  test('deleted with its directory: sends are 503, also when nothing can be rescued', async () => {
    await using place = await storePlace()
    await using service = await startService(envOf(place))
    expect(await sendMany(service, 5)).toHaveLength(5)
    await Bun.$`rm -r ${place.directory}`
    for (let n = 0; n < 3; n++) expect((await service.send(USER, 1)).status).toBe(503)
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    expect(metrics).toContain('ara_unhandled_errors_total 0')
  }, 30_000)
})
