import { describe, expect, test } from 'bun:test'
import { SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis, untilTriedAgain } from '../support/redis.ts'
import { spawnService, startService } from '../support/service.ts'
import { eventually, send, socketOf } from '../support/visit.ts'

const busOf = async (app: TestApp) => (await app.get('/health')).json.bus
const busLines = ({ lines }: TestApp) => lines.filter(({ event }) => String(event).startsWith('bus.'))

describe.concurrent('A service with a bus', () => {
  test('starts without Redis, is not ready, and is ready as soon as Redis appears', async () => {
    await using redis = await startRedis()
    await redis.kill()
    await using app = await startTestApp({ BUS_URL: redis.url })
    expect(await busOf(app)).toEqual({ kind: 'redis', status: 'unavailable' })
    expect((await app.get('/health')).json.status).toBe('degraded')
    expect((await app.get('/health/ready')).json).toMatchObject({ status: 'not_ready', reasons: ['bus'] })
    expect((await scrape(app)).value('ara_bus_up')).toBe(0)
    await eventually(() => busLines(app).length > 0)
    await redis.restart()
    await eventually(async () => (await app.get('/health/ready')).status === 200)
    expect(await busOf(app)).toEqual({ kind: 'redis', status: 'healthy' })
    expect((await scrape(app)).value('ara_bus_up')).toBe(1)
    // Repeated failures with the same reason are logged once.
    expect(busLines(app).map(({ event }) => event)).toEqual(['bus.away', 'bus.connected'])
  }, 20_000)

  test('whose bus alone is away says so within 3 s, keeps its clients, and catches up when the bus is back', async () => {
    await using redis = await startRedis()
    const owner = redis.client()
    await owner.call('ACL', 'SETUSER', 'cut', 'on', '>pw', '+@all', '~*', '&*')
    const shared = { STORE_URL: redis.url, QUEUE_ENABLED: 'true' }
    await using near = await startTestApp({ ...shared, BUS_URL: redis.url })
    const clock = createTestClock()
    const cut = `redis://cut:pw@127.0.0.1:${redis.port}`
    await using far = await startTestApp({ ...shared, BUS_URL: cut }, { clock })
    const isReady = async (app: TestApp) => (await app.get('/health/ready')).status === 200
    await eventually(async () => (await isReady(near)) && (await isReady(far)))
    using client = await socketOf(far, 'ann', { cursor: '' })
    await client.nextOf('connected')
    // Else the limit of 2 lines a second would hold some back.
    clock.jump(1)
    await owner.call('ACL', 'SETUSER', 'cut', 'off')
    await owner.call('CLIENT', 'KILL', 'USER', 'cut')
    await eventually(async () => !(await isReady(far)), 3_000)
    expect((await far.get('/health')).json).toMatchObject({
      status: 'degraded',
      store: { status: 'healthy' },
      bus: { status: 'unavailable' },
    })
    expect((await far.get('/health/ready')).json.reasons).toEqual(['bus'])
    for (const n of [1, 2, 3]) await send(near, 'ann', n)
    await eventually(() => busLines(far).some(({ event }) => event === 'bus.away'))
    clock.jump(1)
    await owner.call('ACL', 'SETUSER', 'cut', 'on')
    await eventually(() => isReady(far))
    expect((await client.take(3)).map(({ payload }) => payload)).toEqual([1, 2, 3])
    expect(busLines(far).map(({ event }) => event)).toEqual([
      'bus.connected',
      'bus.lost',
      'bus.away',
      'bus.back',
    ])
    const back = far.lines.findIndex(({ event }) => event === 'bus.back')
    expect(far.lines[back]).toMatchObject({ level: 'info', seconds: expect.any(Number) })
    expect(JSON.stringify(far.lines)).not.toContain('pw@')
  }, 30_000)

  test('writes at most 2 lines a second about an unsteady bus', async () => {
    await using redis = await startRedis()
    const owner = redis.client()
    await using app = await startTestApp({ BUS_URL: redis.url })
    const startedAt = performance.now()
    while (performance.now() - startedAt < 3_000 || busLines(app).length <= 3) {
      await eventually(async () => (await busOf(app)).status === 'healthy')
      await owner.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    }
    const times = busLines(app).map(({ ts }) => Date.parse(String(ts)))
    for (const [n, at] of times.entries()) expect((times[n + 2] ?? at + 1_000) - at).toBeGreaterThan(990)
  }, 20_000)

  test('keeps the bus through a pause of its own process, and joins again when it was evicted meanwhile', async () => {
    await using redis = await startRedis()
    await using service = await startService({ BUS_URL: redis.url })
    const isReady = async () => (await fetch(`${service.url}/health/ready`)).status === 200
    await eventually(isReady)
    const owner = redis.client()
    process.kill(service.pid, 'SIGSTOP')
    await Bun.sleep(4_000)
    process.kill(service.pid, 'SIGCONT')
    await eventually(isReady)
    await Bun.sleep(1_000)
    expect(service.lines.filter(({ event }) => event === 'bus.lost')).toEqual([])
    process.kill(service.pid, 'SIGSTOP')
    await owner.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    process.kill(service.pid, 'SIGCONT')
    await service.line('bus.lost')
    await service.line('bus.back')
    await eventually(isReady)
  }, 30_000)

  test('ends its connections to Redis when it stops', async () => {
    await using redis = await startRedis()
    const owner = redis.client()
    const clients = async () =>
      String(await owner.call('CLIENT', 'LIST'))
        .trim()
        .split('\n').length
    const before = await clients()
    const app = await startTestApp({ BUS_URL: redis.url })
    await eventually(async () => (await app.get('/health/ready')).status === 200)
    expect(await clients()).toBe(before + 2)
    await app[Symbol.asyncDispose]()
    await eventually(async () => (await clients()) === before)
  }, 20_000)

  test('names the setting when it does not start', async () => {
    const child = spawnService({ JWT_SECRET: SECRET, BUS_URL: 'redis://:secret@r', QUEUE_ENABLED: 'true' })
    const [code, stderr, stdout] = await Promise.all([child.exited, child.stderr.text(), child.stdout.text()])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^BUS_URL: expected STORE_URL to be the same Redis[^\n]*\n$/)
  }, 20_000)

  test.each([
    ['BUS_URL', 'bus.away'],
    ['REDIS_URL', 'redis.unavailable'],
  ])(
    'refuses a Redis Cluster as %s, with one log line',
    async (setting, event) => {
      await using redis = await startRedis('--cluster-enabled', 'yes')
      await using app = await startTestApp({ [setting]: redis.url })
      const reasons = () => app.lines.filter(line => line['event'] === event).map(({ reason }) => reason)
      await eventually(() => reasons().length > 0)
      await untilTriedAgain(redis.client(), 2)
      expect(reasons()).toEqual([
        `${setting}: Redis Cluster is not supported (expected a single Redis, or Sentinels)`,
      ])
    },
    20_000,
  )
})
