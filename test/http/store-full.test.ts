import { expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { scrape } from '../support/metrics.ts'
import { logOf, trySend } from '../support/stored.ts'
import { broadcast, send, socketOf } from '../support/visit.ts'

const LIMIT = 20_000
const ENV = { QUEUE_ENABLED: 'true', QUEUE_MESSAGE_TTL_SECONDS: '60', TENANT_ENABLED: 'true' }
const of = (tenant: string) => ({ 'x-tenant-id': tenant })

async function start(env: Environment) {
  const clock = createTestClock()
  const app = await startTestApp({ ...ENV, ...env }, { clock })
  return { app, clock, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() }
}

/** Sends to a new user each time until a send is rejected. Gives the accepted number. */
async function fill(app: TestApp, tenant: string): Promise<number> {
  for (let n = 0; n < 200; n++) {
    const { status, json } = await trySend(app, [`u${n}`], n, of(tenant))
    if (status === 200) continue
    expect([status, json.error.code]).toEqual([507, 'STORE_FULL'])
    return n
  }
  throw new Error('it never was full')
}

test('a tenant at TENANT_MAX_STORED_BYTES gets 507 until entries expire; other tenants do not', async () => {
  await using service = await start({ TENANT_MAX_STORED_BYTES: String(LIMIT) })
  const { app, clock } = service
  const accepted = await fill(app, 'acme')
  expect(accepted).toBeGreaterThan(10)
  expect((await trySend(app, ['u0'], 1, of('acme'))).status).toBe(507)
  for (const n of [1, 2, 3]) expect((await trySend(app, ['u0'], n, of('globex'))).status).toBe(200)
  // Entries have expired; the users themselves still take room.
  clock.jump(61)
  expect((await trySend(app, ['u0'], 7, of('acme'))).status).toBe(200)
})

test('a store at STORE_MAX_BYTES stores a send completely or not at all, and reports its fill level', async () => {
  await using service = await start({ STORE_MAX_BYTES: String(LIMIT) })
  const { app } = service
  await fill(app, 'default')
  const health = (await app.get('/health')).json
  expect(health).toMatchObject({ status: 'healthy', store: { status: 'healthy', max_bytes: LIMIT } })
  expect(health.store.bytes).toBeGreaterThan(LIMIT * 0.9)
  expect(health.store.bytes).toBeLessThanOrEqual(LIMIT)
  const metrics = await scrape(app)
  expect(metrics.value('ara_store_bytes')).toBe(health.store.bytes)
  expect(metrics.value('ara_store_max_bytes')).toBe(LIMIT)

  expect((await trySend(app, ['u0', 'v0', 'v1'], 1)).status).toBe(507)
  expect([await logOf(app, 'u0'), await logOf(app, 'v0')]).toEqual([[0], []])
  const batch = await app.post('/api/v1/notifications/batch', {
    notifications: [{ target: { type: 'user', value: 'u0' }, event_type: 'e', payload: 1 }],
  })
  expect(batch.json.results?.[0]?.code ?? batch.json.error.code).toBe('STORE_FULL')
  expect((await app.get('/health')).json.queue).toEqual(health.queue)
})

test('crowds and a ttl of 0 need no room in the store', async () => {
  await using service = await start({ STORE_MAX_BYTES: String(LIMIT) })
  const { app } = service
  const client = await socketOf(app, 'u')
  await fill(app, 'default')
  expect((await broadcast(app, 'crowd')).status).toBe('delivered')
  expect((await send(app, 'u', 'fleeting', { ttl: 0 })).status).toBe('delivered')
  expect((await client.take(2)).map(({ payload }) => payload)).toEqual(['crowd', 'fleeting'])
})

test('a repeat with an idempotency key is answered by a full store', async () => {
  await using service = await start({ STORE_MAX_BYTES: String(LIMIT) })
  const { app } = service
  const once = () =>
    app.post(
      '/api/v1/notifications/send',
      { target_user_id: 'u', event_type: 'e', payload: 1 },
      { 'idempotency-key': 'k' },
    )
  const first = await once()
  await fill(app, 'default')
  const again = await once()
  expect([again.status, again.text]).toEqual([first.status, first.text])
})

test('`/health` shows no bytes without a limit', async () => {
  await using app = await startTestApp(ENV)
  await send(app, 'u', 1)
  expect((await app.get('/health')).json.store).toEqual({ kind: 'memory', status: 'healthy' })
})
