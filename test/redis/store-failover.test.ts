import { describe, expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { MASTER, startSentinel } from '../support/sentinel.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { logOf, trySend, untilStoreIs } from '../support/stored.ts'
import { eventually, socketOf } from '../support/visit.ts'

const BACK_MS = 15_000

describe.concurrent('The store follows the Sentinels to another master', () => {
  for (const [what, strike] of [
    ['died', (redis: TestRedis) => redis.kill()],
    ['was frozen', async (redis: TestRedis) => redis.freeze()],
  ] as const)
    test(`within 15 s when the first one ${what}, with all data of the replica, and clients get a new epoch`, async () => {
      await using first = await startRedis()
      await using second = await startRedis('--replicaof', '127.0.0.1', String(first.port))
      await using sentinel = await startSentinel(first)
      const asker = sentinel.client()
      const replicas = async () => (await asker.call('SENTINEL', 'replicas', MASTER)) as unknown[]
      await eventually(async () => (await replicas()).length === 1)
      await using app = await startTestApp({
        STORE_URL: `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/${MASTER}`,
        QUEUE_ENABLED: 'true',
      })
      await untilStoreIs(app, 'healthy')
      using client = await socketOf(app, 'u', { cursor: '' })
      await client.nextOf('connected')
      for (const n of [1, 2, 3]) await trySend(app, ['u'], n)
      const [, , third] = await client.take(3)
      const reader = second.client()
      await eventually(async () => (await reader.zcard('ara:order:{default:u}')) === 3)
      const elapsed = startStopwatch()
      await strike(first)
      const sendOther = async () => (await trySend(app, ['other'], 4)).status
      await eventually(async () => (await sendOther()) === 503)
      await eventually(async () => (await sendOther()) === 200, BACK_MS)
      expect(elapsed()).toBeLessThan(BACK_MS)
      expect((await trySend(app, ['u'], 5)).status).toBe(200)
      expect((await client.next()).payload).toBe(5)
      using returns = await socketOf(app, 'u', { cursor: third.cursor })
      expect(await returns.nextOf('connected')).toMatchObject({ recovered: false, reason: 'epoch_changed' })
      expect((await returns.next()).payload).toBe(5)
      expect(await logOf(app, 'u')).toEqual([1, 2, 3, 5])
      // The former master returns as a replica and gets no writes.
      first.thaw()
      expect((await trySend(app, ['u'], 6)).status).toBe(200)
      expect((await client.next()).payload).toBe(6)
    }, 60_000)
})
