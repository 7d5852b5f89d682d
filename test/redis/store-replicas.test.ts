import { describe, expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { startRedis } from '../support/redis.ts'
import { startMonitor } from '../support/redis-monitor.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { logOf, startStored, trySend, untilStoreIs } from '../support/stored.ts'
import { eventually, socketOf } from '../support/visit.ts'

const ANSWERED_MS = 1_300

describe.concurrent('STORE_REPLICAS', () => {
  test('delays the answer to a send until the replica has it', async () => {
    await using master = await startRedis()
    await using replica = await startRedis('--replicaof', '127.0.0.1', String(master.port))
    await using app = await startStored(master, { STORE_REPLICAS: '1' })
    const reader = replica.client()
    for (let n = 1; n <= 20; n++) {
      expect((await trySend(app, ['u'], n)).status).toBe(200)
      expect(await reader.zcard('ara:order:{default:u}')).toBe(n)
    }
    const many = await Promise.all(Array.from({ length: 100 }, (_, n) => trySend(app, [`v${n}`], n)))
    expect(many.filter(({ status }) => status !== 200)).toEqual([])
  }, 20_000)

  test('makes the store count as away without enough replicas, and refuses a send within a second', async () => {
    await using master = await startRedis()
    await using app = await startTestApp({
      STORE_URL: `redis://127.0.0.1:${master.port}`,
      STORE_REPLICAS: '1',
      QUEUE_ENABLED: 'true',
    })
    await eventually(() =>
      app.lines.some(({ event, reason }) => event === 'store.away' && /1 replica/.test(String(reason))),
    )
    await untilStoreIs(app, 'unavailable')
    const refused = await trySend(app, ['u'], 1)
    expect([refused.status, refused.json.error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
    expect(refused.ms).toBeLessThan(ANSWERED_MS)
    await using _ = await startRedis('--replicaof', '127.0.0.1', String(master.port))
    await untilStoreIs(app, 'healthy')
    expect((await trySend(app, ['u'], 2)).status).toBe(200)
  }, 30_000)

  test('refuses sends within a second while the replica is frozen, although clients may get them, and recovers afterwards', async () => {
    await using master = await startRedis()
    await using replica = await startRedis('--replicaof', '127.0.0.1', String(master.port))
    await using app = await startStored(master, { STORE_REPLICAS: '1' })
    using client = await socketOf(app, 'u', { cursor: '' })
    await client.nextOf('connected')
    await trySend(app, ['u'], 1)
    expect((await client.next()).payload).toBe(1)
    replica.freeze()
    const refused = await Promise.all(Array.from({ length: 5 }, (_, n) => trySend(app, ['u'], 2 + n)))
    for (const { status, ms } of refused) {
      expect(status).toBe(503)
      expect(ms).toBeLessThan(ANSWERED_MS)
    }
    await untilStoreIs(app, 'unavailable', 3_300)
    // Reads do not wait behind a call that waits for replicas.
    const elapsed = startStopwatch()
    await logOf(app, 'u')
    expect(elapsed()).toBeLessThan(500)
    replica.thaw()
    await untilStoreIs(app, 'healthy')
    expect((await trySend(app, ['u'], 7)).status).toBe(200)
    const heard = await client.inbox.until(({ payload }) => payload === 7)
    expect(heard.payload).toBe(7)
    const all = client.inbox.all.filter(({ type }) => type === 'notification').map(({ payload }) => payload)
    expect(all).toEqual(await logOf(app, 'u'))
    expect(all).toEqual([...new Set(all)].sort((a, b) => a - b))
  }, 30_000)

  test('delays answers until the replica has the writes, even if Redis has forgotten its scripts', async () => {
    await using master = await startRedis()
    await using replica = await startRedis('--replicaof', '127.0.0.1', String(master.port))
    await using app = await startStored(master, { STORE_REPLICAS: '1' })
    const admin = master.client()
    const template = { id: 't', name: 'n', event_type: 'e', payload_template: 1 }
    const writes = [
      () => trySend(app, ['u'], 2),
      () => app.post('/api/v1/templates', template),
      () => app.post('/api/v1/users/u/disconnect', { issued_before: 1 }),
    ]
    expect((await trySend(app, ['u'], 1)).status).toBe(200)
    for (const write of writes) {
      // Frozen first, so that no later write reaches it.
      replica.freeze()
      await admin.script('FLUSH')
      const { status, json } = await write()
      expect([status, json.error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
      replica.thaw()
      await untilStoreIs(app, 'healthy')
    }
  }, 30_000)

  test('sends the wait for replicas after an append that was sent again', async () => {
    await using master = await startRedis()
    await using _ = await startRedis('--replicaof', '127.0.0.1', String(master.port))
    await using app = await startStored(master, { STORE_REPLICAS: '1' })
    await trySend(app, ['u'], 1)
    using monitor = await startMonitor(master.port)
    const seen = () =>
      monitor.commands
        .filter(([name = '']) => /^(eval|wait|zadd)$/.test(name))
        .map(([name, text = '']) => (text.includes('Appends one entry') ? 'append' : name))
    await master.client().script('FLUSH')
    expect((await trySend(app, ['u'], 2)).status).toBe(200)
    const sent = () => seen().slice(seen().indexOf('append'))
    await eventually(() => sent().length >= 3)
    expect(sent().slice(0, 3)).toEqual(['append', 'zadd', 'wait'])
  }, 20_000)
})
