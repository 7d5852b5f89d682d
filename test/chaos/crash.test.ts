import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectSocket, type Message } from '../support/client.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'
import { type Attempt, amid, countCrash, NO_FAULT, post, readAll, sendUntilGone } from './crash.ts'

/** Where a service stores its data. */
interface Place extends AsyncDisposable {
  readonly url: string
}

/** CRASH_SEED=n runs that seed only. */
const SEEDS = [1, 2, 3, 4, 5, 6]
const pinned = process.env['CRASH_SEED']
const seeds = pinned === undefined ? SEEDS : [Number(pinned)]
const USERS = 50
const SENDERS = 10
/** Longest time of sending before the crash, milliseconds. */
const MOST_MS = 800

async function sqliteFile(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-crash-'))
  return {
    url: `sqlite:${join(directory, 'store.db')}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

const PLACES: readonly (readonly [name: string, open: () => Promise<Place>])[] = [
  ['sqlite', sqliteFile],
  ['redis', () => startRedis('--appendonly', 'yes', '--appendfsync', 'always')],
]

/** Resolves when the service is ready: its start does not wait for Redis. */
async function start({ url }: Place, more: Record<string, string> = {}): Promise<Service> {
  const service = await startService({
    STORE_URL: url,
    QUEUE_ENABLED: 'true',
    QUEUE_MAX_SIZE_PER_USER: '100000',
    WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
    ...more,
  })
  await eventually(async () => (await fetch(`${service.url}/health/ready`)).ok)
  return service
}

describe.each(PLACES)('kill -9 with a %s store', (_, openPlace) => {
  test.each(seeds)(
    'during sends to absent users keeps every accepted send once and in order, and nothing else (CRASH_SEED=%d)',
    async seed => {
      const random = createRandom(seed)
      await using place = await openPlace()
      await using first = await start(place)
      const sending = sendUntilGone(first, { senders: SENDERS, users: USERS, random })
      const attempts = await amid(random, MOST_MS, sending, () => first.signal('SIGKILL'))

      await using second = await start(place)
      const users = [...new Set(attempts.map(({ user }) => user))]
      const logs = await Promise.all(users.map(async user => [user, await readAll(second, user)] as const))
      expect(countCrash(attempts, new Map(logs))).toEqual(NO_FAULT)
    },
    60_000,
  )

  test.each(seeds.slice(0, 3))(
    'during a replay lets the reconnecting client continue where it stopped (CRASH_SEED=%d)',
    async seed => {
      const random = createRandom(seed)
      await using place = await openPlace()
      await using first = await start(place)
      const text = 'x'.repeat(20_000)
      const items = Array.from({ length: 50 }, (_, n) => ({
        target: { type: 'user', value: 'ann' },
        event_type: 'e',
        payload: { n, text },
      }))
      for (let n = 0; n < 4; n++) await post(first.url, '/batch', { notifications: items })
      const seen: Message[] = []
      const replaying = async (): Promise<void> => {
        using socket = await connectSocket(`${first.url}/ws?token=${await first.token('ann')}&cursor=`)
        await socket.next()
        for (let n = 0; n < 200; n++) {
          const message = await socket.next().catch(() => undefined)
          if (message === undefined) return
          seen.push(message)
          if (n === 3) first.signal('SIGKILL')
        }
      }
      await amid(random, 60, replaying(), () => first.signal('SIGKILL')).catch(() => {})

      await using second = await start(place)
      const cursor = seen.at(-1)?.cursor ?? ''
      using again = await connectSocket(
        `${second.url}/ws?token=${await second.token('ann')}&cursor=${cursor}`,
      )
      const { recovered, replayed } = await again.next()
      seen.push(...(await again.take(replayed)))
      expect(recovered).toBe(true)
      expect(seen.map(message => Number(String(message.cursor).split(':')[1]))).toEqual(
        Array.from({ length: 200 }, (_, n) => n + 1),
      )
      expect(seen.map(({ payload }) => payload.n)).toEqual(Array.from({ length: 200 }, (_, n) => n % 50))
    },
    60_000,
  )

  test.each(seeds.slice(0, 3))(
    'during a batch keeps the beginning of the batch, and a retry with the same idempotency key completes it (CRASH_SEED=%d)',
    async seed => {
      const random = createRandom(seed)
      await using place = await openPlace()
      await using first = await start(place)
      const batch = (name: number) => ({
        notifications: Array.from({ length: 100 }, (_, n) => ({
          target: { type: 'user', value: 'ann' },
          event_type: 'e',
          payload: { name, n },
          idempotency_key: `${name}/${n}`,
        })),
      })
      const batching = async (): Promise<number> => {
        for (let name = 0; ; name++) {
          const answer = await post(first.url, '/batch', batch(name)).catch(() => undefined)
          if (answer?.status !== 200) return name
        }
      }
      const broken = await amid(random, 300, batching(), () => first.signal('SIGKILL'))

      await using second = await start(place)
      const namesOf = (log: readonly Message[]) => log.map(({ payload: { name, n } }) => name * 100 + n)
      const kept = namesOf(await readAll(second, 'ann'))
      expect(kept).toEqual(Array.from(kept, (_, at) => at))
      expect(kept.length).toBeGreaterThanOrEqual(broken * 100)

      // A key without an answer stays reserved for 30 s. A stored answer is returned at once.
      const { results }: Message = await (await post(second.url, '/batch', batch(broken))).json()
      const codes = new Set(results.map(({ code }: Message) => code))
      codes.delete('IDEMPOTENCY_IN_PROGRESS')
      expect([...codes].filter(code => code !== undefined)).toEqual([])
      const after = namesOf(await readAll(second, 'ann'))
      expect(after.length).toBe(new Set(after).size)
      expect(after.slice(0, kept.length)).toEqual(kept)
    },
    60_000,
  )

  test('lets only unacknowledged notifications be sent again, with their ids', async () => {
    const more = { ACK_ENABLED: 'true' }
    await using place = await openPlace()
    await using first = await start(place, more)
    using online = await connectSocket(`${first.url}/ws?token=${await first.token('ann')}`)
    const ids: string[] = []
    for (let n = 0; n < 40; n++) await first.send('ann', n)
    for (const { id, payload } of await online.take(40)) {
      ids.push(id)
      if (payload % 2 === 0) online.send({ type: 'Ack', payload: { notification_id: id } })
    }
    for (let n = 0; n < 20; n++) expect((await online.nextOf('acked')).notification_id).toBe(ids[n * 2])
    first.signal('SIGKILL')
    await first.ended

    await using second = await start(place, more)
    using again = await connectSocket(`${second.url}/ws?token=${await second.token('ann')}`)
    await second.send('ann', 40)
    const messages = await again.take(21)
    expect(messages.map(({ payload }) => payload)).toEqual([
      ...Array.from({ length: 20 }, (_, n) => n * 2 + 1),
      40,
    ])
    expect(messages.slice(0, 20).map(({ id }) => id)).toEqual(ids.filter((_, n) => n % 2 === 1))
  }, 60_000)
})

describe('the count of faults', () => {
  const attempts: readonly Attempt[] = [0, 1, 2].map(n => ({ user: 'ann', sender: 0, n, id: `id${n}` }))
  const read = (seq: number, n: number, id = `id${n}`): Message => ({
    id,
    cursor: `e:${seq}`,
    payload: { sender: 0, n },
  })
  const all = [read(1, 0), read(2, 1), read(3, 2)]
  const count = (messages: readonly Message[], tried = attempts) =>
    countCrash(tried, new Map([['ann', messages]]))

  test('is zero when the log has every accepted send and nothing else', () => {
    expect(count(all)).toEqual(NO_FAULT)
    expect(count(all, [...attempts, { user: 'ann', sender: 0, n: 3, id: undefined }])).toEqual(NO_FAULT)
    expect(
      count([...all, read(4, 3)], [...attempts, { user: 'ann', sender: 0, n: 3, id: undefined }]),
    ).toEqual(NO_FAULT)
  })

  test('includes an accepted send that is missing', () => {
    expect(count(all.slice(0, 2))).toEqual({ ...NO_FAULT, lost: 1 })
  })

  test('includes an entry that was never sent, and one with another id than answered', () => {
    expect(count([...all, read(4, 9)])).toEqual({ ...NO_FAULT, phantom: 1 })
    expect(count([read(1, 0, 'other'), ...all.slice(1)])).toEqual({ ...NO_FAULT, lost: 1, phantom: 1 })
  })

  test('includes a send that is in the log twice', () => {
    expect(count([...all, read(4, 2)])).toMatchObject({ lost: 0, duplicates: 1 })
  })

  test('includes a gap, and an earlier send behind a later one', () => {
    expect(count([read(1, 0), read(3, 1), read(4, 2)])).toEqual({ ...NO_FAULT, inversions: 2 })
    expect(count([read(1, 1), read(2, 0), read(3, 2)])).toEqual({ ...NO_FAULT, inversions: 1 })
  })
})
