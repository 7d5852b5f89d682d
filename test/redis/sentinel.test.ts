import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { MASTER, startSentinel } from '../support/sentinel.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { subscribed, untilRedisIs } from '../support/trigger.ts'
import { eventually } from '../support/visit.ts'

const BACK_MS = 15_000

for (const [what, strike] of [
  ['died', (redis: TestRedis) => redis.kill()],
  ['was frozen', async (redis: TestRedis) => redis.freeze()],
] as const)
  test.concurrent(`the trigger follows the Sentinels to another master when the first one ${what}`, async () => {
    await using first = await startRedis()
    await using second = await startRedis('--replicaof', '127.0.0.1', String(first.port))
    await using sentinel = await startSentinel(first)
    const asker = sentinel.client()
    const replicas = async () => (await asker.call('SENTINEL', 'replicas', MASTER)) as unknown[]
    await eventually(async () => (await replicas()).length === 1)
    // A Sentinel that does not run must not matter.
    const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/${MASTER}`
    await using app = await startTestApp({ REDIS_URL: url })
    await untilRedisIs(app, ({ connected }) => connected)
    using client = await subscribed(app, 'u')
    const message = { type: 'user', target: 'u', event: { event_type: 'e', payload: 1 } }
    expect(await first.publish('notification:user:u', message)).toBe(1)
    expect((await client.next()).payload).toBe(1)
    const elapsed = startStopwatch()
    await strike(first)
    await eventually(() => app.lines.some(({ event }) => event === 'redis.lost'))
    const again = { ...message, event: { event_type: 'e', payload: 2 } }
    // A Sentinel closes every connection to the server that it promotes.
    const publish = () => second.publish('notification:user:u', again).catch(() => 0)
    await eventually(async () => (await publish()) === 1, BACK_MS)
    expect(elapsed()).toBeLessThan(BACK_MS)
    expect((await client.next()).payload).toBe(2)
    await untilRedisIs(app, ({ connected }) => connected)
    first.thaw()
  }, 40_000)

test.concurrent('the trigger leaves a demoted master even if it still runs', async () => {
  await using first = await startRedis()
  await using second = await startRedis()
  await using sentinel = await startSentinel(first)
  await using app = await startTestApp({
    REDIS_URL: `redis+sentinel://127.0.0.1:${sentinel.port}/${MASTER}`,
  })
  await untilRedisIs(app, ({ connected }) => connected)
  const asker = sentinel.client()
  await asker.call('SENTINEL', 'REMOVE', MASTER)
  await asker.call('SENTINEL', 'MONITOR', MASTER, '127.0.0.1', String(second.port), '1')
  const heardBy = async (redis: TestRedis) =>
    (await redis.client().pubsub('NUMSUB', 'notification:broadcast')) as unknown[]
  await eventually(async () => (await heardBy(second))[1] === 1)
  expect((await heardBy(first))[1]).toBe(0)
  expect(app.lines.map(({ reason }) => reason)).toContain('another master')
}, 20_000)
