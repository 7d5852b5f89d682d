import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import type { TestApp } from '../support/app.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { logOf, startStored, trySend } from '../support/stored.ts'
import { eventually, send, sendToUsers, socketOf } from '../support/visit.ts'

const seconds = () => Math.floor(Date.now() / 1000)

/** Two services that share only one Redis. */
async function startTwo(env: Environment = {}) {
  const redis = await startRedis()
  const apps = [
    await startStored(redis, { NODE_ID: 'a', ...env }),
    await startStored(redis, { NODE_ID: 'b', ...env }),
  ] as const
  return {
    redis,
    apps,
    [Symbol.asyncDispose]: async () => {
      for (const app of apps) await app[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
    },
  }
}

const metricOf = async (app: TestApp, name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await (await fetch(`${app.url}/metrics`)).text())?.[1])

const keysOf = async (redis: TestRedis, pattern: string): Promise<string[]> =>
  (await redis.client().keys(pattern)).toSorted()

describe.concurrent('Two nodes with one Redis store', () => {
  test('replay each other’s sends to a user who was away, and accept each other’s cursors', async () => {
    await using two = await startTwo()
    const [a, b] = two.apps
    for (const n of [1, 2, 3]) expect((await trySend(a, ['u'], n)).json).toMatchObject({ queued: 1 })
    using first = await socketOf(b, 'u', { cursor: '' })
    const [connected, one, two_, three] = await first.take(4)
    expect(connected).toMatchObject({ recovered: true, replayed: 3 })
    expect([one, two_, three].map(({ payload }) => payload)).toEqual([1, 2, 3])
    first.close()
    await first.closed
    await trySend(b, ['u'], 4)
    using second = await socketOf(a, 'u', { cursor: two_.cursor })
    expect((await second.take(3)).map(({ type, payload }) => payload ?? type)).toEqual(['connected', 3, 4])
    expect(await logOf(b, 'u')).toEqual(await logOf(a, 'u'))
  }, 20_000)

  test('share receipts, which decide where a client without cursor starts', async () => {
    await using two = await startTwo()
    const [a, b] = two.apps
    for (const n of [1, 2]) await trySend(a, ['u'], n)
    using first = await socketOf(a, 'u')
    await first.take(2)
    await eventually(async () => (await two.redis.client().hget('ara:head:{default:u}', 'received')) === '2')
    first.close()
    await first.closed
    await trySend(a, ['u'], 3)
    using second = await socketOf(b, 'u')
    expect((await second.next()).payload).toBe(3)
  }, 20_000)

  test('share acknowledgements and show the same delivery states', async () => {
    await using two = await startTwo({ ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '3600' })
    const [a, b] = two.apps
    const { notification_id: id } = await sendToUsers(a, ['v', 'u'], 1)
    using first = await socketOf(b, 'u')
    await first.next()
    first.send({ type: 'Ack', payload: { notification_id: id } })
    expect(await first.nextOf('acked')).toEqual({ type: 'acked', notification_id: id })
    for (const app of two.apps) {
      const { json } = await app.get(`/api/v1/notifications/${id}`)
      expect(json.recipients).toMatchObject([
        { user_id: 'v', state: 'queued', attempts: 0 },
        { user_id: 'u', state: 'acked', attempts: 1 },
      ])
    }
    await trySend(a, ['u'], 2)
    using second = await socketOf(a, 'u')
    expect((await second.next()).payload).toBe(2)
    const { json } = await b.get(`/api/v1/notifications/${id}?limit=1&after=v`)
    expect(json.recipients.map(({ user_id }: { user_id: string }) => user_id)).toEqual(['u'])
  }, 20_000)

  test('share templates, revocations and idempotency keys from the next request on', async () => {
    await using two = await startTwo()
    const [a, b] = two.apps
    const template = { id: 't', name: 'n', event_type: 'e', payload_template: { v: '{{x}}' } }
    expect((await a.post('/api/v1/templates', template)).status).toBe(201)
    const sent = await b.post('/api/v1/notifications/send', {
      target_user_id: 'u',
      template_id: 't',
      variables: { x: 1 },
    })
    expect(sent.json).toMatchObject({ queued: 1 })
    expect(await logOf(a, 'u')).toEqual([{ v: '1' }] as never)

    const token = await a.token('u', { iat: seconds() - 10 })
    const statusAt = async (app: TestApp) => (await app.get(`/api/v1/me/notifications?token=${token}`)).status
    expect([await statusAt(a), await statusAt(b)]).toEqual([200, 200])
    await a.post('/api/v1/users/u/disconnect', { issued_before: seconds() })
    expect([await statusAt(a), await statusAt(b)]).toEqual([401, 401])

    const tries = Array.from({ length: 10 }, (_, n) =>
      trySend(n % 2 === 0 ? a : b, ['k'], 7, { 'idempotency-key': 'once' }),
    )
    const statuses = (await Promise.all(tries)).map(({ status }) => status)
    expect(statuses.filter(status => status === 200 || status === 409)).toHaveLength(10)
    expect(await logOf(a, 'k')).toEqual([7])
    const again = await trySend(b, ['k'], 7, { 'idempotency-key': 'once' })
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true'])
  }, 20_000)

  test('physically remove ended entries, count each once, and free their keys', async () => {
    await using two = await startTwo({ QUEUE_MESSAGE_TTL_SECONDS: '2', QUEUE_CLEANUP_INTERVAL_SECONDS: '1' })
    const { apps, redis } = two
    const USERS = Array.from({ length: 30 }, (_, n) => `u${n}`)
    for (const [n, app] of [...apps, ...apps].entries()) {
      const { json } = await app.post('/api/v1/notifications/send-to-users', {
        target_user_ids: USERS,
        event_type: 'e',
        payload: n,
        ...(n % 2 === 0 && { ttl: 1 }),
      })
      expect(json.queued).toBe(30)
    }
    const isFree = async () =>
      (await keysOf(redis, 'ara:*')).every(key => /^ara:(head:|recipients:|life$|sizes$)/.test(key))
    await eventually(isFree, 15_000)
    const expired = await Promise.all(apps.map(app => metricOf(app, 'ara_queue_expired_total')))
    expect(expired.reduce((sum, each) => sum + each, 0)).toBe(120)
    for (const app of apps)
      expect((await app.get('/health')).json.queue).toMatchObject({ total_messages: 0, users_with_queue: 0 })
    // No key outlives the services forever.
    const client = redis.client()
    for (const key of await keysOf(redis, 'ara:{head,recipients}:*'))
      expect(await client.pttl(key)).toBeGreaterThan(0)
  }, 40_000)

  test('store sends to the same users in one order', async () => {
    await using two = await startTwo()
    const [a, b] = two.apps
    using client = await socketOf(a, 'u', { cursor: '' })
    await client.nextOf('connected')
    await Promise.all(
      Array.from({ length: 100 }, (_, n) => send(n % 2 === 0 ? a : b, n % 3 === 0 ? 'u' : 'v', n)),
    )
    // Without a bus, the client's node delivers only its own sends at once.
    await send(a, 'u', 'last')
    const messages = []
    while (messages.at(-1)?.payload !== 'last') messages.push(await client.next())
    expect(messages.map(({ cursor }) => Number(cursor.split(':')[1]))).toEqual(
      Array.from({ length: 35 }, (_, n) => n + 1),
    )
    expect(messages.map(({ payload }) => payload)).toEqual(await logOf(b, 'u'))
  }, 20_000)
})
