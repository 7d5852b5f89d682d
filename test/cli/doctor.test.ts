import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type AlteredLine, startAlteredLine } from '../support/altered-line.ts'
import { API_KEY, SECRET } from '../support/app.ts'
import { runCli } from '../support/cli.ts'
import type { Message } from '../support/client.ts'
import { faults } from '../support/doctor.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

type Env = Readonly<Record<string, string>>

const PRODUCTION = { RUN_MODE: 'production', JWT_SECRET: SECRET, API_KEY, CORS_ORIGINS: 'https://a.example' }
const LOG_ON = { QUEUE_ENABLED: 'true' }
const MAX_MS = 10_000

interface Examined {
  readonly code: number
  readonly lines: readonly string[]
}

/** Runs `doctor` without a service on the port unless `env` names one. */
async function examine(env: Env = {}, args: readonly string[] = []): Promise<Examined> {
  const { code, stdout, stderr } = await runCli(['doctor', ...args], { env })
  expect(stderr).toBe('')
  return { code, lines: stdout.trimEnd().split('\n') }
}

const bad = ({ lines }: Examined) => lines.filter(line => !line.startsWith('ok'))

describe('without a fault', () => {
  test('a running service with a file store: each line is ok, exit code 0, nothing stays behind', async () => {
    await using place = await storePlace()
    const env = { ...LOG_ON, STORE_URL: place.url, DRAIN_SECONDS: '0' }
    await using service = await startService(env)
    const at = { ...env, SERVER_PORT: String(service.port) }
    const examined = await examine(at)
    expect(bad(examined)).toEqual([])
    expect(examined.code).toBe(0)
    const text = examined.lines.join('\n')
    for (const check of [
      'settings',
      'log',
      'descriptors',
      'store file',
      'port',
      'health',
      'api key',
      'nodes',
      'token',
      'notification',
    ])
      expect(text).toMatch(new RegExp(`^ok    ${check} `, 'm'))
    expect(text).toContain('a running service has it open')
    const health = async () => (await (await fetch(`${service.url}/health`)).json()) as Message
    await eventually(async () => (await health()).connections.total === 0)
    expect(await health()).toMatchObject({ queue: { total_messages: 0 } })
  }, 20_000)

  test('--json lists the checks', async () => {
    const { stdout, code } = await runCli(['doctor', '--json'])
    const { ok, checks } = JSON.parse(stdout)
    expect({ ok, code }).toEqual({ ok: true, code: 0 })
    expect(checks).toContainEqual({ check: 'settings', status: 'ok', message: expect.any(String) })
  })

  test('a Redis that keeps its data serves as store, bus and trigger', async () => {
    await using redis = await startRedis('--appendonly', 'yes')
    const examined = await examine({
      ...LOG_ON,
      REDIS_URL: redis.url,
      STORE_URL: 'redis:',
      BUS_URL: 'redis:',
    })
    expect(bad(examined)).toEqual([])
    const text = examined.lines.join('\n')
    for (const check of ['redis', 'clock', 'latency', 'persistence', 'eviction'])
      expect(text).toMatch(new RegExp(`^ok    ${check} `, 'm'))
    expect(text.match(/^ok {4}permissions/gm)).toHaveLength(4)
    expect(await redis.client().dbsize()).toBe(0)
  })

  test('a service elsewhere is checked with --url', async () => {
    await using service = await startService({ DRAIN_SECONDS: '0' })
    const examined = await examine({}, ['--url', service.url])
    expect({ code: examined.code, bad: bad(examined) }).toEqual({ code: 0, bad: [] })
    expect(examined.lines.some(line => line.startsWith('ok    notification'))).toBe(true)
  })
})

/** Expects one bad line. */
async function expectFault(env: Env, line: RegExp, code: 0 | 1): Promise<void> {
  expect(await faults(env)).toEqual({ code, lines: [expect.stringMatching(line)] })
}

describe('finds a fault of settings and machine', () => {
  test('a setting that the service refuses', () =>
    expectFault(
      { SERVER_PORT: 'http' },
      /^fail {2}settings {6}SERVER_PORT: expected .* To do: correct this setting/,
      1,
    ))

  test('a log that is off in production', () =>
    expectFault(PRODUCTION, /^warn {2}log .*dropped\. To do: set QUEUE_ENABLED=true$/, 0))

  test('a log in memory in production', () =>
    expectFault({ ...PRODUCTION, ...LOG_ON }, /^warn {2}log .*a restart loses it\. To do: set STORE_URL=/, 0))

  test('too few descriptors', async () => {
    const program = {
      command: ['sh', '-c', 'ulimit -n 500; exec "$0" "$@"', process.execPath, 'src/main.ts'],
      cwd: join(import.meta.dir, '../..'),
    }
    const { code, stdout } = await runCli(['doctor'], { program })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^warn {2}descriptors {3}500 open files, .*10100\. To do: raise the limit/m)
    const shared = { WORKERS: '25', REDIS_URL: 'redis://127.0.0.1:9', BUS_URL: 'redis:' }
    expect((await runCli(['doctor'], { program, env: shared })).stdout).toMatch(/^ok {4}descriptors .* 500 /m)
  })

  test('another program on the port', async () => {
    await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('hello') })
    await expectFault(
      { SERVER_PORT: String(other.port) },
      /^fail {2}port .*another program answers\. To do: stop it/,
      1,
    )
  })

  test('a service that accepts connections, but does not answer', async () => {
    const server = createServer(() => {})
    const port = await freePort()
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    try {
      await expectFault({ SERVER_PORT: String(port) }, /^fail {2}port .*does not answer\. To do: /, 1)
    } finally {
      server.close()
    }
  })
})

describe('finds a fault of the store file', () => {
  test('a directory that is missing', () =>
    expectFault(
      { ...LOG_ON, STORE_URL: 'sqlite:/nowhere/ara.db' },
      /^fail {2}store file .*does not exist\. To do: create it/,
      1,
    ))

  test('a directory that cannot be written', () =>
    expectFault(
      { ...LOG_ON, STORE_URL: 'sqlite:/proc/ara.db' },
      /^fail {2}store file .*not writable\. To do: /,
      1,
    ))

  test('a damaged file', async () => {
    await using place = await storePlace()
    await Bun.write(place.path, 'no database, but long enough to be read as the header of one '.repeat(200))
    await expectFault(
      { ...LOG_ON, STORE_URL: place.url },
      /^fail {2}store file .*To do: move the file away/,
      1,
    )
  })
})

describe('finds a fault of Redis', () => {
  const stored = (url: string, more: Env = {}) => ({ ...LOG_ON, REDIS_URL: '', STORE_URL: url, ...more })

  test('no persistence: a warning in development, a failure in production', async () => {
    await using redis = await startRedis()
    await expectFault(
      stored(redis.url),
      /^warn {2}persistence .*persists nothing.* To do: set appendonly yes/,
      0,
    )
    await expectFault(stored(redis.url, PRODUCTION), /^fail {2}persistence .*persists nothing/, 1)
  })

  test('a policy that evicts', async () => {
    await using redis = await startRedis('--appendonly', 'yes', '--maxmemory-policy', 'allkeys-lru')
    await expectFault(
      stored(redis.url, PRODUCTION),
      /^fail {2}eviction .*allkeys-lru.* To do: set maxmemory-policy noeviction/,
      1,
    )
  })

  test.each([
    [10, 'warn', 0],
    [3_600, 'fail', 1],
  ] as const)('a clock that is off by %d s: %s', async (seconds, status, code) => {
    await using redis = await startRedis('--appendonly', 'yes')
    await using line = await startShiftedClock(redis.port, seconds)
    const message = new RegExp(`^${status} {2}clock .* ${seconds}0\\d\\d ms ahead.* To do: synchronize`)
    await expectFault(stored(`redis://127.0.0.1:${line.port}`), message, code)
  })

  test('a slow line', async () => {
    await using redis = await startRedis('--appendonly', 'yes')
    await using line = await startProxy(redis.port)
    line.delay(50, 'answers')
    await expectFault(
      stored(`redis://127.0.0.1:${line.port}`),
      /^warn {2}latency .* To do: run Redis closer/,
      0,
    )
  })

  test('a missing permission', async () => {
    await using redis = await startRedis('--appendonly', 'yes')
    await redis.client().call('ACL', 'SETUSER', 'weak', 'on', '>pass', '~other:*', '+@all')
    const url = redis.url.replace('redis://', 'redis://weak:pass@')
    await expectFault(stored(url), /^fail {2}permissions {3}store: .*permission.* To do: give the user/i, 1)
  })

  test('a wrong password, a Redis Cluster, and no Redis at all', async () => {
    await using redis = await startRedis('--requirepass', 'right')
    await expectFault(
      stored(redis.url.replace('//', '//:wrong@')),
      /^fail {2}redis .*WRONGPASS.* To do: correct user and password/,
      1,
    )
    await using cluster = await startRedis('--cluster-enabled', 'yes')
    await expectFault(stored(cluster.url), /^fail {2}redis .*Cluster is not supported/, 1)
    const nowhere = `redis://127.0.0.1:${await freePort()}`
    await expectFault(
      stored(nowhere),
      /^fail {2}redis .*ECONNREFUSED.* To do: start Redis, or correct STORE_URL/,
      1,
    )
    await expectFault({ REDIS_URL: nowhere }, /^fail {2}redis .*To do: start Redis, or correct REDIS_URL/, 1)
  })

  test('a frozen Redis, with a running service on it, within 10 s', async () => {
    await using redis = await startRedis('--appendonly', 'yes')
    const env = {
      ...LOG_ON,
      REDIS_URL: redis.url,
      STORE_URL: 'redis:',
      BUS_URL: 'redis:',
      DRAIN_SECONDS: '0',
    }
    await using service = await startService(env)
    await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 200)
    redis.freeze()
    await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 503)
    const elapsed = startStopwatch()
    const examined = await examine({ ...env, SERVER_PORT: String(service.port) })
    expect(elapsed()).toBeLessThan(MAX_MS)
    expect(examined.code).toBe(1)
    const text = examined.lines.join('\n')
    expect(text).toMatch(/^fail {2}redis .*no answer\. To do: look at Redis: it is frozen, a firewall/m)
    expect(text).toMatch(/^fail {2}health .*not healthy: .*store/m)
    redis.thaw()
  }, 40_000)
})

describe('finds a fault between itself and the running service', () => {
  test('a wrong API key', async () => {
    await using service = await startService({ DRAIN_SECONDS: '0' })
    const examined = await examine({ SERVER_PORT: String(service.port), API_KEY: 'another-key-0123456789' })
    expect(examined.code).toBe(1)
    expect(bad(examined).join('\n')).toMatch(/^fail {2}api key .*UNAUTHORIZED.* To do: set API_KEY/m)
  })

  test('another JWT_SECRET', async () => {
    await using service = await startService({ DRAIN_SECONDS: '0' })
    const secret = 'another-secret-of-at-least-32-bytes!'
    await expectFault(
      { SERVER_PORT: String(service.port), JWT_SECRET: secret },
      /^fail {2}token .*UNAUTHORIZED.* To do: set JWT_SECRET/,
      1,
    )
  })
})

/** A line to Redis on which TIME is ahead by some seconds. */
function startShiftedClock(target: number, seconds: number): Promise<AlteredLine> {
  const TIME = /^\*2\r\n\$10\r\n(\d{10})\r\n\$\d\r\n\d+\r\n$/
  return startAlteredLine(target, text =>
    text.replace(TIME, (all, at: string) => all.replace(at, String(Number(at) + seconds))),
  )
}
