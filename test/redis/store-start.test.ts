import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { startRedis, untilTriedAgain } from '../support/redis.ts'
import { startStored, trySend, untilStoreIs } from '../support/stored.ts'
import { broadcast, eventually, socketOf } from '../support/visit.ts'

const stored = (port: number, more: Record<string, string> = {}) =>
  startTestApp({ STORE_URL: `redis://127.0.0.1:${port}`, QUEUE_ENABLED: 'true', ...more })

const reasons = ({ lines }: TestApp) =>
  lines.filter(({ event }) => event === 'store.away').map(({ reason }) => reason)
const warnings = ({ lines }: TestApp) =>
  lines.filter(({ event }) => event === 'start.warning').map(({ warning }) => String(warning))

describe.concurrent('A service whose store is a Redis', () => {
  test('starts without Redis, is not ready, serves requests that need no store, and is ready as soon as Redis appears', async () => {
    const redis = await startRedis()
    await using _ = redis
    await redis.kill()
    await using app = await stored(redis.port)
    expect((await app.get('/health/ready')).json).toMatchObject({ status: 'not_ready', reasons: ['store'] })
    expect((await app.get('/health')).json).toMatchObject({
      status: 'degraded',
      queue: { backend: 'redis', total_messages: 0 },
      store: { kind: 'redis', status: 'unavailable' },
    })
    const refused = await trySend(app, ['u'], 1)
    expect([refused.status, refused.json.error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
    using client = await socketOf(app, 'u')
    expect((await broadcast(app, 1)).delivered_to).toBe(1)
    expect((await client.next()).payload).toBe(1)
    await eventually(() => reasons(app).length > 0)
    await redis.restart()
    await untilStoreIs(app, 'healthy', 10_000)
    expect((await trySend(app, ['u'], 2)).status).toBe(200)
    expect((await client.next()).payload).toBe(2)
    // Repeated failures with the same reason are logged once.
    expect(reasons(app)).toHaveLength(1)
  }, 30_000)

  test('uses the server of REDIS_URL for STORE_URL=redis:', async () => {
    await using redis = await startRedis()
    await using app = await startTestApp({
      STORE_URL: 'redis:',
      REDIS_URL: `${redis.url}/3`,
      QUEUE_ENABLED: 'true',
    })
    await untilStoreIs(app, 'healthy')
    await trySend(app, ['u'], 1)
    const client = redis.client()
    await client.select(3)
    expect(await client.exists('ara:head:{default:u}')).toBe(1)
  }, 20_000)

  test('uses only the database of STORE_URL: one that Redis does not open is reported in one line', async () => {
    await using redis = await startRedis('--databases', '16')
    await using app = await startTestApp({ STORE_URL: `${redis.url}/99`, QUEUE_ENABLED: 'true' })
    await eventually(() => reasons(app).length > 0)
    expect((await app.get('/health')).json.store).toEqual({ kind: 'redis', status: 'unavailable' })
    expect((await trySend(app, ['u'], 1)).status).toBe(503)
    await untilTriedAgain(redis.client(), 2)
    expect(reasons(app)).toEqual([
      'STORE_URL: Redis does not open database 99 (ERR DB index is out of range)',
    ])
    expect(await redis.client().dbsize()).toBe(0)
  }, 20_000)

  test('refuses a Redis Cluster with one log line', async () => {
    await using redis = await startRedis('--cluster-enabled', 'yes')
    await using app = await stored(redis.port)
    await eventually(() => reasons(app).length > 0)
    await untilTriedAgain(redis.client(), 2)
    expect(reasons(app)).toEqual([
      'STORE_URL: Redis Cluster is not supported (expected a single Redis, or Sentinels)',
    ])
    expect((await app.get('/health/ready')).json.reasons).toEqual(['store'])
    expect((await trySend(app, ['u'], 1)).status).toBe(503)
  }, 20_000)

  test('does not show the password that Redis refused', async () => {
    await using redis = await startRedis('--requirepass', 'right-password')
    await using app = await startTestApp({
      STORE_URL: `redis://:wrong-password@127.0.0.1:${redis.port}`,
      QUEUE_ENABLED: 'true',
    })
    await eventually(() => reasons(app).length > 0)
    expect(String(reasons(app)[0])).toContain('WRONGPASS')
    expect(JSON.stringify(app.lines)).not.toContain('wrong-password')
  }, 20_000)

  for (const [what, args, expected] of [
    ['persists nothing', ['--save', ''], ['persists nothing']],
    ['may evict', ['--appendonly', 'yes', '--maxmemory-policy', 'allkeys-lru'], ['may evict']],
    ['does both', ['--maxmemory-policy', 'volatile-ttl'], ['persists nothing', 'may evict']],
    ['persists by an append-only log', ['--appendonly', 'yes'], []],
    ['persists by snapshots', ['--save', '60', '1'], []],
  ] as const)
    test(`warns only of a Redis that can lose data: one that ${what}`, async () => {
      await using redis = await startRedis(...args)
      await using app = await startStored(redis)
      const told = warnings(app)
      expect(told).toHaveLength(expected.length)
      for (const [n, each] of expected.entries()) expect(told[n]).toContain(each)
      await redis.kill()
      await untilStoreIs(app, 'unavailable')
      await redis.restart()
      await untilStoreIs(app, 'healthy')
      expect(warnings(app)).toEqual(told)
    }, 20_000)

  test('reports a full Redis, and continues when Redis has room again', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis)
    await trySend(app, ['u'], 1)
    const admin = redis.client()
    await admin.config('SET', 'maxmemory', '1mb')
    expect((await trySend(app, ['u'], 2)).status).toBe(503)
    await untilStoreIs(app, 'unavailable', 3_300)
    expect(reasons(app).map(String).join()).toContain('OOM')
    await admin.config('SET', 'maxmemory', '0')
    await untilStoreIs(app, 'healthy', 10_000)
    expect((await trySend(app, ['u'], 3)).status).toBe(200)
    using client = await socketOf(app, 'u', { cursor: '' })
    expect((await client.take(3)).map(({ payload }) => payload)).toEqual([undefined, 1, 3])
  }, 20_000)
})
