import type { Environment } from '../../src/config/config.ts'
import { type Answer, startTestApp, type TestApp } from './app.ts'
import { startStopwatch } from './stopwatch.ts'
import { eventually } from './visit.ts'

const POLL_MS = 10

/** Starts a service with logs in this Redis or behind its proxy. Waits until the store is up. */
export async function startStored(
  { port }: { readonly port: number },
  env: Environment = {},
): Promise<TestApp> {
  const app = await startTestApp({
    STORE_URL: `redis://127.0.0.1:${port}`,
    QUEUE_ENABLED: 'true',
    QUEUE_MAX_SIZE_PER_USER: '10000',
    ...env,
  })
  await untilStoreIs(app, 'healthy')
  return app
}

/** Resolves with the milliseconds until `/health` and `/health/ready` agree. */
export async function untilStoreIs(
  app: TestApp,
  status: 'healthy' | 'unavailable',
  withinMs = 20_000,
): Promise<number> {
  const elapsed = startStopwatch()
  const isReady = status === 'healthy'
  await eventually(async () => {
    await Bun.sleep(POLL_MS)
    const [health, ready] = await Promise.all([app.get('/health'), app.get('/health/ready')])
    return health.json.store.status === status && ready.status === (isReady ? 200 : 503)
  }, withinMs)
  return elapsed()
}

export interface SendAttempt extends Answer {
  readonly payload: number
  readonly ms: number
}

/** Sends a number to each user; returns the result and its duration. */
export async function trySend(
  app: TestApp,
  users: readonly string[],
  payload: number,
  headers: Record<string, string> = {},
): Promise<SendAttempt> {
  const elapsed = startStopwatch()
  const body = { target_user_ids: users, event_type: 'e', payload }
  const answer = await app.post('/api/v1/notifications/send-to-users', body, headers)
  return { ...answer, payload, ms: elapsed() }
}

/** Reads the log of a user, in order. */
export async function logOf(app: TestApp, user: string): Promise<number[]> {
  const { json } = await app.get(`/api/v1/users/${user}/notifications?limit=1000`)
  return json.notifications.map(({ payload }: { payload: number }) => payload)
}
