import type { Environment } from '../../src/config/config.ts'
import type { Rejection } from '../../src/observe/stats.ts'
import { startTestApp, type TestApp } from './app.ts'
import type { SocketClient } from './client.ts'
import type { TestRedis } from './redis.ts'
import { startStopwatch } from './stopwatch.ts'
import { eventually, socketOf } from './visit.ts'

const POLL_MS = 10

type TestOptions = Parameters<typeof startTestApp>[1]

/** Status of Redis in `/health`. */
export const redisHealth = async (app: TestApp): Promise<{ status: string; connected: boolean }> =>
  (await app.get('/health')).json.redis

/** Resolves with the milliseconds until `/health` shows this status, without waits for a core. */
export async function untilRedisIs(
  app: TestApp,
  fits: (health: { status: string; connected: boolean }) => boolean,
  withinMs = 20_000,
): Promise<number> {
  const elapsed = startStopwatch()
  const fitsNow = async () => {
    await Bun.sleep(POLL_MS)
    return fits(await redisHealth(app))
  }
  await eventually(fitsNow, withinMs)
  return elapsed()
}

/** Starts a service subscribed to this Redis or the proxy before it. */
export async function startHearing(
  { port }: Pick<TestRedis, 'port'>,
  env: Environment = {},
  options: TestOptions = {},
): Promise<TestApp> {
  const app = await startTestApp({ REDIS_URL: `redis://127.0.0.1:${port}`, ...env }, options)
  await untilRedisIs(app, ({ connected }) => connected)
  return app
}

/** Opens a WebSocket of the user that is subscribed. */
export async function subscribed(
  app: TestApp,
  user: string,
  ...channels: readonly string[]
): Promise<SocketClient> {
  const client = await socketOf(app, user)
  client.send({ type: 'Subscribe', payload: { channels } })
  if (channels.length > 0) await client.nextOf('subscribed')
  return client
}

/** Publishes a message; returns the reason of its rejection, undefined if accepted. */
export async function verdictOf(
  app: TestApp,
  redis: TestRedis,
  message: string | object | Buffer,
  channel = 'notification:user:any',
): Promise<Rejection | undefined> {
  const { stats } = app.app
  const [received, before] = [stats.redisMessagesReceived, { ...stats.redisMessagesRejected }]
  await redis.publish(channel, message)
  await eventually(() => stats.redisMessagesReceived > received)
  const reasons = Object.entries(stats.redisMessagesRejected).filter(
    ([reason, count]) => count > before[reason as Rejection],
  )
  return reasons[0]?.[0] as Rejection | undefined
}
