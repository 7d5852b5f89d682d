import { describe, expect, test } from 'bun:test'
import { SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { spawnService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

const busOf = async (app: TestApp) => (await app.get('/health')).json.bus
const busLines = ({ lines }: TestApp) => lines.filter(({ event }) => String(event).startsWith('bus.'))

describe('A service with a bus', () => {
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
      await Bun.sleep(1_000)
      expect(reasons()).toEqual([
        `${setting}: Redis Cluster is not supported (expected a single Redis, or Sentinels)`,
      ])
    },
    20_000,
  )
})
