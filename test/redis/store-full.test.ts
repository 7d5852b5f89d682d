import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import { startRedis } from '../support/redis.ts'
import { logOf, startStored, trySend } from '../support/stored.ts'
import { broadcast, eventually } from '../support/visit.ts'

const LIMIT = 60_000
const SHORT = { QUEUE_MESSAGE_TTL_SECONDS: '2', QUEUE_CLEANUP_INTERVAL_SECONDS: '86400' }

/** Sends to new users until a send is refused. Returns the number of accepted sends. */
async function fill(app: TestApp, tenant = 'default'): Promise<number> {
  for (let n = 0; n < 200; n++) {
    const { status, json } = await trySend(app, [`u${n}`], n, { 'x-tenant-id': tenant })
    if (status === 200) continue
    expect([status, json.error.code]).toEqual([507, 'STORE_FULL'])
    return n
  }
  throw new Error('it never was full')
}

describe.concurrent('A Redis store', () => {
  test('keeps to STORE_MAX_BYTES and refuses further sends as a whole, until ended entries make room', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis, { STORE_MAX_BYTES: String(LIMIT), ...SHORT })
    const taken = await fill(app)
    expect(taken).toBeGreaterThan(10)
    expect(taken).toBeLessThan(40)
    const users = ['u0', 'v0', 'v1']
    expect((await trySend(app, users, 1)).status).toBe(507)
    expect(await logOf(app, 'v0')).toEqual([])
    expect((await broadcast(app, 1)).status).toBe('no_recipient')
    // The next regular cleanup is a day away.
    await eventually(async () => (await trySend(app, ['w'], 1)).status === 200, 15_000)
  }, 30_000)

  test('counts only what further entries of a log take, so a burst to one user fits', async () => {
    await using redis = await startRedis()
    await using app = await startStored(redis, { STORE_MAX_BYTES: String(LIMIT) })
    expect((await trySend(app, ['u'], 0)).status).toBe(200)
    const burst = await Promise.all(Array.from({ length: 40 }, (_, n) => trySend(app, ['u'], n)))
    expect(burst.map(({ status }) => status)).toEqual(burst.map(() => 200))
  }, 30_000)

  test('keeps each tenant to TENANT_MAX_STORED_BYTES, without effect on other tenants', async () => {
    await using redis = await startRedis()
    const env = { TENANT_MAX_STORED_BYTES: String(LIMIT), TENANT_ENABLED: 'true', ...SHORT }
    await using app = await startStored(redis, env)
    await using other = await startStored(redis, env)
    await fill(app, 'acme')
    expect((await trySend(app, ['u'], 1, { 'x-tenant-id': 'globex' })).status).toBe(200)
    // Another node learns of it soon.
    const isFull = async () => (await trySend(other, ['x'], 1, { 'x-tenant-id': 'acme' })).status === 507
    await eventually(isFull, 1_500)
    await eventually(
      async () => (await trySend(app, ['w'], 1, { 'x-tenant-id': 'acme' })).status === 200,
      15_000,
    )
  }, 30_000)
})
