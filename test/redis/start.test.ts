import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { StoreAway } from '../../src/errors.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startRedis } from '../support/redis.ts'
import { redisHealth, startHearing, subscribed, untilRedisIs } from '../support/trigger.ts'
import { eventually, send } from '../support/visit.ts'

const ROOT = join(import.meta.dir, '../..')
const EVENT = { event_type: 'e', payload: null }
/** Longest time for the waits and probes before a reconnect, with some slack, milliseconds. */
const BACK_MS = 2_500

const aboutRedis = (app: TestApp) => app.lines.filter(({ event }) => String(event).startsWith('redis.'))
const toldAboutRedis = (app: TestApp) => aboutRedis(app).filter(({ level }) => level !== 'debug')

/** The URL of a Redis that has been stopped. */
async function goneRedis() {
  const redis = await startRedis()
  await redis.kill()
  return redis
}

describe('Without a Redis', () => {
  test('the service starts, serves, logs it once, and connects when Redis appears', async () => {
    await using redis = await goneRedis()
    await using app = await startTestApp({ REDIS_URL: redis.url, QUEUE_ENABLED: 'true' })
    const { json, status } = await app.get('/health')
    expect([status, json.status, json.redis]).toEqual([
      200,
      'degraded',
      { status: 'reconnecting', connected: false },
    ])
    expect((await app.get('/health/ready')).status).toBe(200)
    await untilRedisIs(app, health => health.status === 'circuit_open')
    expect((await send(app, 'u', 1)).status).toBe('queued')
    const server = redis.url.replace('redis://', '')
    expect(toldAboutRedis(app)).toEqual([
      {
        level: 'warn',
        ts: expect.any(String),
        event: 'redis.unavailable',
        server,
        reason: `connect ECONNREFUSED ${server}`,
      },
    ])
    await redis.restart()
    expect(await untilRedisIs(app, ({ connected }) => connected)).toBeLessThan(BACK_MS)
    expect((await app.get('/health')).json.status).toBe('healthy')
    expect(toldAboutRedis(app).map(({ event }) => event)).toContain('redis.connected')
  })

  test('and without REDIS_URL the service has no trigger and logs nothing about it', async () => {
    await using app = await startTestApp({ REDIS_URL: '' })
    expect((await app.get('/health')).json).toMatchObject({
      status: 'healthy',
      redis: { status: 'disabled', connected: false },
    })
    expect(aboutRedis(app)).toEqual([])
  })

  test('the program prints its welcome and one line about Redis', async () => {
    await using redis = await goneRedis()
    const child = Bun.spawn([process.execPath, 'src/main.ts'], {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'] ?? '',
        SERVER_HOST: '127.0.0.1',
        SERVER_PORT: '0',
        REDIS_URL: redis.url,
      },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    })
    const said = awaitedLater(new Response(child.stdout).text())
    const complaints = awaitedLater(new Response(child.stderr).text())
    // Longer than the attempts that open the breaker take.
    await Bun.sleep(3_000)
    child.kill('SIGTERM')
    const text = await said
    expect([await child.exited, await complaints]).toEqual([0, ''])
    expect(text).toContain('Token of user "demo"')
    expect(text.match(/redis\.\w+/g)).toEqual(['redis.unavailable'])
  })
})

test('REDIS_CHANNELS selects the received channels by name and pattern; overlapping ones deliver twice', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { REDIS_CHANNELS: 'news:*, jobs, news:[ab], [x]' })
  using client = await subscribed(app, 'u')
  const heard = async (channel: string): Promise<number> => {
    const message = { type: 'user', target: 'u', event: EVENT }
    await redis.publish(channel, message)
    // The last message: when it arrives, all earlier ones have arrived.
    await redis.publish('jobs', { ...message, event: { ...EVENT, payload: `after ${channel}` } })
    const sources: string[] = []
    for (;;) {
      const { payload, metadata } = await client.next()
      if (payload === `after ${channel}`) break
      sources.push(metadata.source)
    }
    expect(sources).toEqual(sources.map(() => `redis:${channel}`))
    return sources.length
  }
  const counts: Record<string, number> = {}
  for (const channel of ['news:a', 'news:z', 'news:', 'jobs', 'jobs2', 'x', '[x]', 'notification:broadcast'])
    counts[channel] = await heard(channel)
  expect(counts).toEqual({
    'news:a': 2,
    'news:z': 1,
    'news:': 1,
    jobs: 1,
    jobs2: 0,
    x: 1,
    '[x]': 0,
    'notification:broadcast': 0,
  })
})

test('a drain unsubscribes before it closes the first connection, and continues to serve', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { DRAIN_SECONDS: '3' })
  const clients = await Promise.all(['u', 'u', 'u', 'u'].map(user => subscribed(app, user)))
  const message = { type: 'user', target: 'u', event: EVENT }
  await redis.publish('notification:user:u', message)
  for (const client of clients) await client.next()
  const drained = awaitedLater(app.app.drain())
  await eventually(async () => (await redis.publish('notification:user:u', message)) === 0)
  const { stats } = app.app
  const received = stats.redisMessagesReceived
  expect((await app.get('/health/ready')).status).toBe(503)
  expect((await redisHealth(app)).connected).toBe(false)
  expect((await send(app, 'u', 'late')).delivered_to).toBeGreaterThan(0)
  for (const client of clients) {
    await client.closed
    const payloads = client.inbox.all.flatMap(({ type, payload }) =>
      type === 'notification' ? [payload] : [],
    )
    expect(payloads.filter(payload => payload === null)).toEqual([null])
  }
  await drained
  expect([stats.redisMessagesReceived, received]).toEqual([1, 1])
  expect(await redis.client().pubsub('NUMSUB', 'notification:broadcast')).toEqual([
    'notification:broadcast',
    0,
  ])
})

test('the service sends the password to Redis, and never shows a wrong one', async () => {
  await using redis = await startRedis('--requirepass', 'right-secret')
  const at = (password: string) => redis.url.replace('//', `//:${password}@`)
  await using right = await startTestApp({ REDIS_URL: at('right-secret') })
  await using wrong = await startTestApp({ REDIS_URL: at('wrong-secret') })
  await using none = await startTestApp({ REDIS_URL: redis.url })
  await untilRedisIs(right, ({ connected }) => connected)
  for (const app of [wrong, none]) {
    await untilRedisIs(app, ({ status }) => status === 'circuit_open')
    expect(toldAboutRedis(app)).toHaveLength(1)
    expect(toldAboutRedis(app)[0]?.['reason']).toMatch(/^(WRONGPASS|NOAUTH)/)
    expect(JSON.stringify(app.lines)).not.toContain('-secret')
  }
})

test('the trigger uses only the database of REDIS_URL: one that Redis does not open is reported in one line', async () => {
  await using redis = await startRedis('--databases', '16')
  await using app = await startTestApp({ REDIS_URL: `${redis.url}/99` })
  await eventually(() => toldAboutRedis(app).length > 0)
  expect(toldAboutRedis(app)).toMatchObject([
    {
      event: 'redis.unavailable',
      reason: 'REDIS_URL: Redis does not open database 99 (ERR DB index is out of range)',
    },
  ])
  expect(await redisHealth(app)).toEqual({ status: 'reconnecting', connected: false })
})

test('a database that Redis does not open is reported also when Redis appears after the start', async () => {
  await using redis = await startRedis('--databases', '16')
  await redis.kill()
  await using app = await startTestApp({ REDIS_URL: `${redis.url}/99` })
  await untilRedisIs(app, health => health.status === 'circuit_open')
  await redis.restart()
  await eventually(() => toldAboutRedis(app).length > 1)
  expect(toldAboutRedis(app).map(({ reason }) => reason)).toEqual([
    expect.stringContaining('ECONNREFUSED'),
    'REDIS_URL: Redis does not open database 99 (ERR DB index is out of range)',
  ])
}, 20_000)

test('rediss: uses TLS, so a server without TLS is not reachable', async () => {
  await using redis = await startRedis()
  await using app = await startTestApp({ REDIS_URL: redis.url.replace('redis:', 'rediss:') })
  await eventually(() => toldAboutRedis(app).length > 0)
  expect(toldAboutRedis(app)).toMatchObject([{ event: 'redis.unavailable', reason: 'no answer' }])
  expect(await redisHealth(app)).toEqual({ status: 'reconnecting', connected: false })
})

test('while the store is away, messages to users are rejected and messages to crowds are not', async () => {
  await using redis = await startRedis()
  let isAway = true
  await using app = await startHearing(
    redis,
    { QUEUE_ENABLED: 'true' },
    {
      wrapStore: store => ({
        ...store,
        log: {
          ...store.log,
          append: async drafts => {
            if (isAway) throw new StoreAway('disk full')
            return store.log.append(drafts)
          },
        },
      }),
    },
  )
  using client = await subscribed(app, 'u', 'x')
  const { redisMessagesRejected: rejected } = app.app.stats
  for (const target of [
    { type: 'user', target: 'u' },
    { type: 'users', target: ['u', 'v'] },
  ]) {
    const before = rejected.store
    await redis.publish('notification:user:u', { ...target, event: EVENT })
    await eventually(() => rejected.store === before + 1)
  }
  await redis.publish('notification:user:u', { type: 'channel', target: 'x', event: EVENT })
  expect(await client.next()).toMatchObject({ type: 'notification' })
  expect(toldAboutRedis(app).filter(({ event }) => event === 'redis.rejected')).toMatchObject([
    { channel: 'notification:user:u', reason: 'store' },
    { channel: 'notification:user:u', reason: 'store' },
  ])
  isAway = false
  await redis.publish('notification:user:u', { type: 'user', target: 'u', event: EVENT })
  expect((await client.next()).cursor).toEndWith(':1')
})
