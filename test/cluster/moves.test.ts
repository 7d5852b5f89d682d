import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startPair } from '../support/cluster.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { logOf } from '../support/stored.ts'
import { startHearing, verdictOf } from '../support/trigger.ts'
import { eventually, send, settle, socketOf, streamOf } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true' }
const TIMEOUT_MS = 30_000
/** The contract allows 3 s until health tells; the rest is for a busy machine. */
const TOLD_WITHIN_MS = 4_000

/** Settings of a node whose bus has a user of its own, so that a test can take the bus alone away. */
const busOf = ({ port }: TestRedis, user: string) => ({
  STORE_URL: `redis://127.0.0.1:${port}`,
  BUS_URL: `redis://${user}:secret@127.0.0.1:${port}`,
  NODE_ID: user,
  ...LOG,
})

const allow = async (redis: TestRedis, user: string): Promise<void> =>
  void (await redis.client().call('ACL', 'SETUSER', user, 'on', '>secret', '~*', '&*', '+@all'))

const forbid = async (redis: TestRedis, user: string): Promise<void> =>
  void (await redis.client().call('ACL', 'DELUSER', user))

const untilBusIs = (app: TestApp, status: 'healthy' | 'unavailable', withinMs?: number): Promise<void> =>
  eventually(async () => (await app.get('/health')).json.bus.status === status, withinMs)

/** Two nodes with buses of the users `a` and `b`. */
async function startWithUsers() {
  await using starting = new AsyncDisposableStack()
  const redis = starting.use(await startRedis())
  const start = async (user: string): Promise<TestApp> => {
    await allow(redis, user)
    const app = starting.use(await startTestApp(busOf(redis, user)))
    await eventually(async () => (await app.get('/health/ready')).status === 200)
    return app
  }
  const nodes = [await start('a'), await start('b')] as const
  const running = starting.move()
  return { redis, nodes, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

describe('A node without its bus', () => {
  test(
    'says so, refuses every send and stores nothing; afterwards its clients miss nothing',
    async () => {
      await using pair = await startWithUsers()
      const { redis } = pair
      const [a, b] = pair.nodes
      using client = await socketOf(a, 'u', { cursor: '' })
      await client.next()
      await forbid(redis, 'a')
      await untilBusIs(a, 'unavailable', TOLD_WITHIN_MS)
      const ready = await a.get('/health/ready')
      expect([ready.status, ready.json.reasons]).toEqual([503, ['bus']])
      expect((await a.get('/health')).json).toMatchObject({
        status: 'degraded',
        store: { status: 'healthy' },
      })

      const one = { target_user_id: 'u', event_type: 'e', payload: 1 }
      for (const [path, body] of [
        ['send', one],
        ['send', { ...one, ttl: 0 }],
        ['send-to-users', { target_user_ids: ['u', 'v'], event_type: 'e', payload: 1 }],
        ['channel', { channel: 'c', event_type: 'e', payload: 1 }],
        ['broadcast', { event_type: 'e', payload: 1 }],
        ['batch', { notifications: [{ target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }] }],
      ] as const) {
        const { status, headers, json } = await a.post(`/api/v1/notifications/${path}`, body)
        expect([path, status, json.error.code, headers.get('retry-after')]).toEqual([
          path,
          503,
          'STORE_UNAVAILABLE',
          '1',
        ])
      }
      const { status, json } = await a.post('/api/v1/users/v/disconnect', {})
      expect([status, json.error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
      expect(await logOf(b, 'u')).toEqual([])
      expect(await settle(client)).toEqual([])

      expect(await send(b, 'u', 2)).toMatchObject({ delivered_to: 0, queued: 1, status: 'queued' })
      using late = await socketOf(a, 'u', { cursor: '' })
      expect((await late.take(2)).map(({ type }) => type)).toEqual(['connected', 'notification'])
      await allow(redis, 'a')
      expect((await client.next()).payload).toBe(2)
      await untilBusIs(a, 'healthy')
      expect(await send(b, 'u', 3)).toMatchObject({ delivered_to: 2, status: 'delivered' })
      expect((await client.next()).payload).toBe(3)
      expect((await late.next()).payload).toBe(3)
    },
    TIMEOUT_MS,
  )

  test(
    'rejects messages of the trigger as it does without a store',
    async () => {
      await using redis = await startRedis()
      await allow(redis, 'a')
      await using app = await startHearing(redis, busOf(redis, 'a'))
      await eventually(async () => (await app.get('/health/ready')).status === 200)
      const message = { type: 'user', target: 'u', event: { event_type: 'e', payload: 1 } }
      expect(await verdictOf(app, redis, message)).toBeUndefined()
      await forbid(redis, 'a')
      await untilBusIs(app, 'unavailable', TOLD_WITHIN_MS)
      expect(await verdictOf(app, redis, message)).toBe('store')
      expect(await verdictOf(app, redis, { ...message, type: 'broadcast' })).toBe('store')
      expect(await logOf(app, 'u')).toEqual([1])
    },
    TIMEOUT_MS,
  )
})

describe('A draining node', () => {
  test(
    'sends its clients to the other node at once, and they go on there',
    async () => {
      await using pair = await startPair({ ...LOG, DRAIN_SECONDS: '2' })
      const [a, b] = pair.nodes
      using client = await socketOf(a, 'u', { cursor: '' })
      using stream = await streamOf(a, 'u')
      await client.next()
      await stream.next()
      expect(await send(b, 'u', 1)).toMatchObject({ delivered_to: 2 })
      const { cursor } = await client.next()
      const drained = awaitedLater(a.app.drain())
      expect(await client.nextOf('shutdown')).toMatchObject({ reconnect_after_seconds: 1 })
      expect(await stream.nextOf('shutdown')).toMatchObject({ retry: '1000' })
      expect(await client.closed).toMatchObject({ code: 1012 })
      using moved = await socketOf(b, 'u', { cursor })
      expect(await moved.next()).toMatchObject({ recovered: true, replayed: 0 })
      await drained
      expect(await send(b, 'u', 2)).toMatchObject({ delivered_to: 1, status: 'delivered' })
      expect((await moved.next()).payload).toBe(2)
    },
    TIMEOUT_MS,
  )
})
