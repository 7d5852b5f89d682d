import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { redisHealth, startHearing, subscribed, untilRedisIs } from '../support/trigger.ts'
import { eventually, send } from '../support/visit.ts'

const HEALTHY = { status: 'healthy', connected: true }
const isUp = ({ connected }: { connected: boolean }): boolean => connected
const isDown = ({ connected }: { connected: boolean }): boolean => !connected

/** Long enough to open the breaker. */
const LONG_MS = 4_000
const SEEN_MS = 3_000
const BACK_MS = 10_000
const BACK_FROM_FREEZE_MS = 15_000
const SLACK_MS = 300
/** Longer than the silence after which Redis is given up. */
const PAUSE_MS = 3_000

/** Publishes numbers to one user and records what happens to them. */
async function startCount(app: TestApp, redis: TestRedis) {
  const client = await subscribed(app, 'u')
  let n = 0
  /** Numbers that Redis has handed to the service. */
  const heard: number[] = []
  const say = async (): Promise<void> => {
    const number = n++
    const event = { event_type: 'e', payload: number }
    if ((await redis.publish('notification:user:u', { type: 'user', target: 'u', event })) > 0)
      heard.push(number)
  }
  const got = () =>
    client.inbox.all.filter(({ type }) => type === 'notification').map(({ payload }) => payload as number)
  const settled = () => eventually(() => got().includes(heard.at(-1) ?? -1))
  return {
    /** Resolves when the last number has arrived. */
    say: async (times: number): Promise<void> => {
      for (let time = 0; time < times; time++) await say()
      await settled()
    },
    /** Lost, duplicate and out-of-order numbers among those that Redis has handed over. */
    faults: () => {
      client.close()
      const all = got()
      return {
        heard: heard.length,
        lost: heard.filter(number => !all.includes(number)).length,
        twice: all.length - new Set(all).size,
        disordered: all.filter((number, at) => number < (all[at - 1] ?? -1)).length,
      }
    },
  }
}

/** Number of patterns with a subscriber. */
const patterns = (redis: TestRedis): Promise<unknown> => redis.client().pubsub('NUMPAT')

/** Seconds with more than two log lines about the connection. */
function crowdedSeconds(app: TestApp): readonly unknown[] {
  const lines = app.lines.filter(({ event }) => /^redis\.(?!rejected)/.test(String(event)))
  return lines.filter(
    ({ ts }, n) => Date.parse(String(ts)) - Date.parse(String(lines[n - 2]?.['ts'] ?? 0)) < 995,
  )
}

/** Checks that every HTTP send is as fast as before while `during` runs. */
async function withSends<T>(app: TestApp, during: Promise<T>): Promise<T> {
  let over = false
  const ended = awaitedLater(
    during.finally(() => {
      over = true
    }),
  )
  while (!over) {
    const elapsed = startStopwatch()
    expect((await send(app, 'other', null)).status).toBe('no_recipient')
    expect(elapsed()).toBeLessThan(1_000)
    await Bun.sleep(50)
  }
  return ended
}

describe.concurrent('The trigger', () => {
  test('resumes after Redis is killed while subscribed: health is correct throughout, no message is handled twice, and HTTP callers notice nothing', async () => {
    await using redis = await startRedis()
    await using app = await startHearing(redis)
    const count = await startCount(app, redis)
    for (const downMs of [0, 1_000, LONG_MS]) {
      await count.say(20)
      await redis.kill()
      expect(await untilRedisIs(app, isDown)).toBeLessThan(SEEN_MS)
      expect((await app.get('/health')).json.status).toBe('degraded')
      await withSends(app, Bun.sleep(downMs))
      if (downMs === LONG_MS)
        expect(await redisHealth(app)).toEqual({ status: 'circuit_open', connected: false })
      await redis.restart()
      expect(await withSends(app, untilRedisIs(app, isUp))).toBeLessThan(BACK_MS)
      expect(await redisHealth(app)).toEqual(HEALTHY)
      expect((await app.get('/health')).json.status).toBe('healthy')
      expect(await patterns(redis)).toBe(2)
      expect(await redis.client().pubsub('NUMSUB', 'notification:broadcast')).toEqual([
        'notification:broadcast',
        1,
      ])
      await count.say(20)
    }
    expect(count.faults()).toEqual({ heard: 120, lost: 0, twice: 0, disordered: 0 })
    expect(crowdedSeconds(app)).toEqual([])
    expect(JSON.stringify(app.lines)).not.toContain('"stack"')
  }, 60_000)

  test('reports a frozen Redis within 3 s and as long as it lasts, and recovers within 15 s', async () => {
    await using redis = await startRedis()
    await using app = await startHearing(redis)
    const count = await startCount(app, redis)
    await count.say(20)
    redis.freeze()
    expect(await untilRedisIs(app, isDown)).toBeLessThan(SEEN_MS)
    const thawAt = performance.now() + 17_500
    while (performance.now() < thawAt) {
      expect(isDown(await redisHealth(app))).toBe(true)
      await Bun.sleep(100)
    }
    redis.thaw()
    expect(await untilRedisIs(app, isUp)).toBeLessThan(BACK_FROM_FREEZE_MS)
    await count.say(20)
    expect(count.faults()).toMatchObject({ lost: 0, twice: 0, disordered: 0 })
    expect(await patterns(redis)).toBe(2)
    expect(crowdedSeconds(app)).toEqual([])
  }, 60_000)

  test('reconnects whenever the connection is cut', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using app = await startHearing(line)
    const count = await startCount(app, redis)
    for (let time = 1; time <= 5; time++) {
      await count.say(10)
      const { accepted } = line
      line.cut()
      await eventually(() => line.accepted > accepted)
      await untilRedisIs(app, isUp)
    }
    await count.say(10)
    expect(count.faults()).toMatchObject({ lost: 0, twice: 0, disordered: 0 })
    expect(await patterns(redis)).toBe(2)
  }, 60_000)

  test('detects a silently dead connection, and ignores its messages if it wakes up', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using app = await startHearing(line)
    const count = await startCount(app, redis)
    await count.say(10)
    line.freeze()
    const { stats } = app.app
    const before = stats.redisMessagesReceived
    await redis.publish('notification:user:u', {
      type: 'user',
      target: 'u',
      event: { event_type: 'e', payload: -1 },
    })
    expect(await untilRedisIs(app, isDown)).toBeLessThan(SEEN_MS)
    line.thaw()
    expect(await untilRedisIs(app, isUp)).toBeLessThan(BACK_MS)
    expect(stats.redisMessagesReceived).toBe(before)
    await count.say(10)
    expect(count.faults()).toEqual({ heard: 20, lost: 0, twice: 0, disordered: 0 })
  }, 60_000)

  test('keeps a slow connection', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    // Connecting takes longer than the time after which a silent Redis is given up.
    line.delay(450)
    await using app = await startHearing(line)
    const count = await startCount(app, redis)
    const until = performance.now() + LONG_MS
    while (performance.now() < until) {
      expect(await redisHealth(app)).toEqual(HEALTHY)
      await Bun.sleep(100)
    }
    await count.say(10)
    expect(count.faults()).toEqual({ heard: 10, lost: 0, twice: 0, disordered: 0 })
    expect(line.accepted).toBe(1)
  }, 60_000)

  test('does not blame Redis for a pause of its own while it connects', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    line.delay(450)
    await using service = await startService({ REDIS_URL: `redis://127.0.0.1:${line.port}` })
    await eventually(() => line.accepted > 0)
    process.kill(service.pid, 'SIGSTOP')
    await Bun.sleep(PAUSE_MS)
    process.kill(service.pid, 'SIGCONT')
    await service.line('redis.connected')
    expect(line.accepted).toBe(1)
  }, 60_000)

  test('recovers as fast with any settings for retry delays and breaker', async () => {
    const settings = {
      REDIS_BACKOFF_INITIAL_DELAY_MS: '600000',
      REDIS_BACKOFF_MAX_DELAY_MS: '600000',
      REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD: '1000',
      REDIS_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS: '600',
    }
    await using redis = await startRedis()
    await using patient = await startHearing(redis, settings)
    await using strict = await startHearing(redis, {
      ...settings,
      REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD: '1',
    })
    await redis.kill()
    await Promise.all([untilRedisIs(patient, isDown), untilRedisIs(strict, isDown)])
    expect([(await redisHealth(patient)).status, (await redisHealth(strict)).status]).toEqual([
      'reconnecting',
      'circuit_open',
    ])
    await redis.restart()
    const back = await Promise.all([untilRedisIs(patient, isUp), untilRedisIs(strict, isUp)])
    expect(Math.max(...back)).toBeLessThan(2_000 + SLACK_MS)
  }, 60_000)
})
