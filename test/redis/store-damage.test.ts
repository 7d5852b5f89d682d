import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { logOf, startStored, trySend, untilStoreIs } from '../support/stored.ts'
import { eventually, socketOf } from '../support/visit.ts'

const PARTS = ['head', 'text', 'notes', 'order', 'ends', 'lanes', 'past'] as const
/** Parts without which no entry can be delivered. */
const VITAL: readonly string[] = ['text', 'notes']

const keyOf = (part: string, user = 'u'): string => `ara:${part}:{default:${user}}`
const payloads = (messages: readonly Message[]): unknown[] =>
  messages.filter(({ type }) => type === 'notification').map(({ payload }) => payload)

/** Makes three retained entries, and one that has left the log. */
async function fill(app: TestApp): Promise<void> {
  const body = { target_user_id: 'u', event_type: 'e', payload: 0, ttl: 1, priority: 'Low' }
  await app.post('/api/v1/notifications/send', body)
  await eventually(async () => (await logOf(app, 'u')).length === 0)
  for (const n of [1, 2, 3]) expect((await trySend(app, ['u'], n)).status).toBe(200)
}

describe.concurrent('A log in Redis with a part missing', () => {
  for (const part of PARTS)
    test(`continues with a new epoch that its clients learn of: ${part}`, async () => {
      await using redis = await startRedis()
      await using app = await startStored(redis)
      await fill(app)
      using stays = await socketOf(app, 'u', { cursor: '' })
      const before = await stays.take(4)
      const { cursor } = before[3]
      expect(await redis.client().del(keyOf(part))).toBe(1)

      const left = VITAL.includes(part) ? [] : [1, 2, 3]
      expect(await logOf(app, 'u')).toEqual(left)
      expect((await trySend(app, ['u'], 4)).json).toMatchObject({ success: true })
      await stays.inbox.until(({ payload }) => payload === 4)
      // Nothing is repeated on the connection.
      expect(payloads(stays.inbox.all)).toEqual([1, 2, 3, 4])
      expect(await logOf(app, 'u')).toEqual([...left, 4])

      using returns = await socketOf(app, 'u', { cursor })
      const connected = await returns.nextOf('connected')
      expect(connected).toMatchObject({ recovered: false, reason: 'epoch_changed' })
      await returns.inbox.until(({ payload }) => payload === 4)
      expect(payloads(returns.inbox.all)).toEqual([4])
      using resumes = await socketOf(app, 'u', { cursor: stays.inbox.all.at(-1)?.cursor })
      expect(await resumes.nextOf('connected')).toMatchObject({ recovered: true, replayed: 0 })
    }, 60_000)

  for (const part of PARTS)
    test(`replaces a key of another type: ${part}`, async () => {
      await using redis = await startRedis()
      await using app = await startStored(redis)
      await fill(app)
      await redis.client().set(keyOf(part), 'not ours')
      const answers = [(await trySend(app, ['u'], 4)).status]
      await eventually(async () => {
        answers.push((await trySend(app, ['u'], 5)).status)
        return answers.at(-1) === 200
      })
      expect(answers.filter(status => status !== 200 && status !== 503)).toEqual([])
      expect((await trySend(app, ['v'], 6)).status).toBe(200)
      const kept = await logOf(app, 'u')
      expect(kept.slice(0, 3)).toEqual(VITAL.includes(part) ? kept.slice(0, 3) : [1, 2, 3])
      expect(kept.at(-1)).toBe(5)
    }, 60_000)

  test('loses an entry whose shared body is gone, tells its clients, and delays no one else', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    const users = Array.from({ length: 20 }, (_, n) => `u${n}`)
    await trySend(app, ['u0'], 1)
    const payload = 'x'.repeat(5_000)
    const sent = await app.post('/api/v1/notifications/send-to-users', {
      target_user_ids: users,
      event_type: 'e',
      payload,
    })
    expect(sent.json).toMatchObject({ queued: 20, status: 'queued' })
    const client = redis.client()
    const bodies = await client.keys('ara:body:*')
    expect(bodies).toEqual([`ara:body:{default:${sent.json.notification_id}}`])
    using first = await socketOf(app, 'u1', { cursor: '' })
    expect((await first.take(2))[1].payload).toBe(payload)
    using reads = await socketOf(app, 'u0', { cursor: '' })
    const cursor = (await reads.take(2))[1].cursor
    reads.close()

    await client.del(bodies)
    expect(await logOf(app, 'u0')).toEqual([1])
    using returns = await socketOf(app, 'u0', { cursor })
    expect(await returns.nextOf('connected')).toMatchObject({ recovered: false, reason: 'epoch_changed' })
    using never = await socketOf(app, 'u2', { cursor: '' })
    await trySend(app, ['u0', 'u2'], 2)
    for (const client of [returns, never])
      expect((await client.inbox.until(message => message.payload === 2)).payload).toBe(2)
  }, 60_000)

  test('is not created by a read', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    using client = await socketOf(app, 'u', { cursor: '' })
    const { cursor } = await client.nextOf('connected')
    expect(await logOf(app, 'u')).toEqual([])
    const token = await app.token('v')
    expect((await app.get(`/api/v1/me/notifications?token=${token}`)).json.notifications).toEqual([])
    expect(await redis.client().keys('ara:*{default:*')).toEqual([])
    // The cursor from the greeting stays valid.
    client.close()
    await trySend(app, ['u'], 1)
    using returns = await socketOf(app, 'u', { cursor })
    expect(await returns.nextOf('connected')).toMatchObject({ recovered: true, replayed: 1 })
  }, 60_000)
})

describe.concurrent('Cleaning in Redis', () => {
  test('continues past logs that cannot be cleaned', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis, {
      QUEUE_MESSAGE_TTL_SECONDS: '1',
      QUEUE_CLEANUP_INTERVAL_SECONDS: '1',
    })
    const client = redis.client()
    const bad = Array.from({ length: 150 }, (_, n) => `bad${n}`)
    const good = Array.from({ length: 50 }, (_, n) => `good${n}`)
    await trySend(app, bad, 1)
    await Promise.all(bad.map(user => client.hset(keyOf('notes', user), '1', 'x')))
    await trySend(app, good, 2)
    await eventually(
      async () => (await client.exists(...good.map(user => keyOf('order', user)))) === 0,
      15_000,
    )
    await eventually(async () => (await app.get('/health')).json.queue.users_with_queue <= 150, 15_000)
    expect((await trySend(app, ['else'], 3)).status).toBe(200)
  }, 40_000)

  for (const key of ['ara:due', 'ara:leased:{ara:due}', 'ara:sizes'])
    test(`goes on after a key of another type stood in place of ${key}`, async () => {
      await using redis = await startRedis()
      await using app = await startStored(redis, {
        QUEUE_MESSAGE_TTL_SECONDS: '1',
        QUEUE_CLEANUP_INTERVAL_SECONDS: '1',
      })
      const client = redis.client()
      await client.set(key, 'not ours')
      await eventually(async () => (await trySend(app, ['u', 'v'], 1)).status === 200)
      await eventually(async () => (await client.keys('ara:order:*')).length === 0, 15_000)
      await eventually(async () => (await app.get('/health')).json.queue.total_messages === 0, 15_000)
    }, 40_000)

  test('finds users that are missing from its index', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis, {
      QUEUE_MESSAGE_TTL_SECONDS: '1',
      QUEUE_CLEANUP_INTERVAL_SECONDS: '1',
    })
    const client = redis.client()
    await trySend(
      app,
      Array.from({ length: 50 }, (_, n) => `u${n}`),
      1,
    )
    await eventually(async () => (await client.hlen('ara:sizes')) > 50)
    await client.del('ara:due')
    await eventually(async () => (await client.keys('ara:order:*')).length === 0, 15_000)
    await eventually(async () => (await app.get('/health')).json.queue.total_messages === 0, 15_000)
  }, 40_000)
})

test('Redis clean-up keeps up with two callers that send as fast as they can', async () => {
  await using redis = await startRedis()
  await using app = await startStored(redis, {
    QUEUE_MESSAGE_TTL_SECONDS: '1',
    QUEUE_CLEANUP_INTERVAL_SECONDS: '86400',
  })
  const totalNow = async (): Promise<number> => (await app.get('/health')).json.queue.total_messages
  let calls = 0
  const caller = async (): Promise<void> => {
    while (calls < 30) {
      const call = calls++
      const users = Array.from({ length: 1_000 }, (_, n) => `u${call}_${n}`)
      expect((await trySend(app, users, call)).status).toBe(200)
    }
  }
  await Promise.all([caller(), caller()])
  // One second of retention, and five until ended entries no longer count.
  await eventually(async () => (await totalNow()) === 0, 6_000)
  const client = redis.client()
  await eventually(async () => (await client.keys('ara:order:*')).length === 0, 6_000)
}, 60_000)

describe.concurrent('A Redis that evicts', () => {
  test('shows in health and as a warning, while sends are accepted, until it stops evicting', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    const client = redis.client()
    await client.config('SET', 'maxmemory', '500mb')
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await eventually(async () => (await app.get('/health')).json.store.status === 'unavailable')
    expect((await app.get('/health')).json.status).toBe('degraded')
    expect((await app.get('/health/ready')).status).toBe(200)
    expect((await trySend(app, ['u'], 1)).status).toBe(200)
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    await untilStoreIs(app, 'healthy')
  }, 60_000)

  test('loses entries, but blocks no user and repeats nothing on a connection', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    const client = redis.client()
    const USERS = Array.from({ length: 40 }, (_, n) => `u${n}`)
    using stays = await socketOf(app, 'u0', { cursor: '' })
    await stays.nextOf('connected')
    await client.config('SET', 'maxmemory', '500mb')
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await eventually(async () => (await app.get('/health')).json.store.status === 'unavailable')
    const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
    await client.config('SET', 'maxmemory', String(used + 600_000))
    const filler = 'x'.repeat(2_000)
    for (let n = 0; n < 400; n++) {
      await client.set(`other:${n}`, filler)
      const { status } = await trySend(app, [USERS[n % USERS.length] ?? '', 'u0'], n)
      expect(status).toBe(200)
    }
    const evicted = Number(/evicted_keys:(\d+)/.exec(await client.info('stats'))?.[1])
    expect(evicted).toBeGreaterThan(0)
    await stays.inbox.until(({ payload }) => payload === 399)
    const heard = payloads(stays.inbox.all)
    expect(heard).toEqual([...new Set(heard)])
    await eventually(() => app.lines.some(({ warning }) => String(warning).includes('evicts keys')))
    for (const user of USERS) expect((await app.get(`/api/v1/users/${user}/notifications`)).status).toBe(200)
  }, 40_000)
})
