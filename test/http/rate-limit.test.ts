import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { type Answer, API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { createStoppedClock } from '../support/clock.ts'
import { settle, socketOf } from '../support/visit.ts'

const SEND = '/api/v1/notifications/send'
const BODY = { target_user_id: 'u', event_type: 'e', payload: null }
const OTHER_KEY = 'another-key-0123456789'
const ACME = 'a-key-of-acme-0123456789'

/** A rate-limited server with a stopped clock. */
async function start(env: Environment = {}) {
  const clock = createStoppedClock()
  const app = await startTestApp({ RATELIMIT_ENABLED: 'true', ...env }, { clock })
  return { app, clock, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() }
}

const NAMES = ['limit', 'remaining', 'reset'] as const

/** Rate limit headers: limit, remaining, and milliseconds until the bucket is full. */
function bucketOf({ headers }: Answer, now: number) {
  const [limit, remaining, reset] = NAMES.map(name => headers.get(`x-ratelimit-${name}`))
  return [limit, remaining, reset === null ? null : Math.round(Number(reset) - now)]
}

const send = (app: TestApp, headers: Record<string, string> = {}) => app.post(SEND, BODY, headers)
const statuses = async (count: number, ask: (n: number) => Promise<Answer>) => {
  const got: number[] = []
  for (let n = 0; n < count; n++) got.push((await ask(n)).status)
  return got
}

describe('a key', () => {
  test('may make a burst, then gets 429 with the time to wait', async () => {
    await using service = await start()
    const { app, clock } = service
    const answers: Answer[] = []
    for (let n = 0; n < 201; n++) answers.push(await send(app))
    expect(answers.map(({ status }) => status)).toEqual([...Array(200).fill(200), 429])
    for (const [n, answer] of answers.slice(0, 200).entries()) {
      expect(bucketOf(answer, clock.now())).toEqual(['100', `${199 - n}`, (n + 1) * 10])
      expect(answer.headers.has('retry-after')).toBe(false)
    }
    const denied = answers[200]
    expect(denied?.json).toEqual({ error: { code: 'RATE_LIMITED', message: expect.any(String) } })
    expect(denied?.headers.get('retry-after')).toBe('1')
    expect(denied && bucketOf(denied, clock.now())).toEqual(['100', '0', 2000])
    expect(denied?.headers.get('x-ratelimit-reset')).toMatch(/^\d{13}$/)
    expect(denied?.headers.get('access-control-expose-headers')).toContain('X-RateLimit-Reset, Retry-After')
    expect(app.app.stats.rateAllowed).toEqual({ http: 200, ws: 0 })
    expect(app.app.stats.rateDenied).toEqual({ http: 1, ws: 0 })
  })

  test('regains tokens one by one, no earlier than announced, up to the burst', async () => {
    await using service = await start({
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
      RATELIMIT_HTTP_BURST_SIZE: '3',
    })
    const { app, clock } = service
    expect(await statuses(4, () => send(app))).toEqual([200, 200, 200, 429])
    clock.jump(0.999)
    const early = await send(app)
    expect([early.status, early.headers.get('retry-after')]).toEqual([429, '1'])
    clock.jump(0.001)
    expect(await statuses(2, () => send(app))).toEqual([200, 429])
    clock.jump(3600)
    expect(await statuses(4, () => send(app))).toEqual([200, 200, 200, 429])
  })

  test('never exceeds burst plus refill in any window, at any pace', async () => {
    await using service = await start({
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '10',
      RATELIMIT_HTTP_BURST_SIZE: '5',
    })
    const { app, clock } = service
    let taken = 0
    for (let n = 0; n < 300; n++) {
      if ((await send(app)).status === 200) taken++
      clock.jump(0.01)
    }
    expect(taken).toBe(5 + 29)
  })

  test('sends nothing with a denied request', async () => {
    await using service = await start({ RATELIMIT_HTTP_BURST_SIZE: '1' })
    using client = await socketOf(service.app, 'u')
    expect(await statuses(3, () => send(service.app))).toEqual([200, 429, 429])
    expect(await settle(client)).toHaveLength(1)
  })

  test('has one bucket for all addresses and paths', async () => {
    await using service = await start({
      API_KEY: `${API_KEY},${OTHER_KEY}`,
      RATELIMIT_HTTP_BURST_SIZE: '2',
      TRUSTED_PROXIES: '127.0.0.1',
    })
    const { app } = service
    const from = (n: number) => ({ 'x-forwarded-for': `198.51.100.${n}` })
    const batch = { notifications: [{ target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }] }
    expect((await send(app, from(1))).status).toBe(200)
    expect((await app.post('/api/v1/notifications/batch', batch, from(2))).status).toBe(200)
    expect((await send(app, from(3))).status).toBe(429)
    expect(await statuses(3, () => send(app, { 'x-api-key': OTHER_KEY }))).toEqual([200, 200, 429])
  })

  test('is charged for requests that are rejected later, and learns it', async () => {
    await using service = await start({ RATELIMIT_HTTP_BURST_SIZE: '6', TENANT_ENABLED: 'true' })
    const { app } = service
    const asked = [
      await app.post(SEND, '{'),
      await app.post(SEND, {}),
      await app.post(SEND, ' '.repeat(65_537)),
      await app.post(SEND, BODY, { 'content-type': 'text/plain' }),
      await app.post(SEND, BODY, { 'x-tenant-id': 'a b' }),
      await app.post(SEND, BODY),
      await app.post(SEND, '{'),
    ]
    const told = asked.map(({ status, headers }) => [status, headers.get('x-ratelimit-remaining')])
    expect(told).toEqual([
      [400, '5'],
      [422, '4'],
      [413, '3'],
      [415, '2'],
      [400, '1'],
      [200, '0'],
      [429, '0'],
    ])
  })

  test('is not affected by a wall clock that is set back an hour', async () => {
    const clock = createStoppedClock()
    let back = 0
    await using app = await startTestApp(
      { RATELIMIT_ENABLED: 'true', RATELIMIT_HTTP_BURST_SIZE: '1', RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1' },
      { clock: { ...clock, now: () => clock.now() - back } },
    )
    expect(await statuses(2, () => send(app))).toEqual([200, 429])
    back = 3_600_000
    expect((await send(app)).status).toBe(429)
    clock.jump(1)
    expect(await statuses(2, () => send(app))).toEqual([200, 429])
  })
})

describe('without a valid key', () => {
  const ENV = { RATELIMIT_HTTP_BURST_SIZE: '3', RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1' }

  test('invented API keys share the bucket of their address, until the answer is 429 instead of 401', async () => {
    await using service = await start(ENV)
    const { app, clock } = service
    const asked: Answer[] = []
    for (let n = 0; n < 5; n++) asked.push(await send(app, { 'x-api-key': `made-up-${n}` }))
    expect(asked.map(({ status }) => status)).toEqual([401, 401, 401, 429, 429])
    expect(asked.map(answer => bucketOf(answer, clock.now()))).toEqual([
      ['1', '2', 1000],
      ['1', '1', 2000],
      ['1', '0', 3000],
      ['1', '0', 3000],
      ['1', '0', 3000],
    ])
    expect(asked.map(({ headers }) => headers.get('retry-after'))).toEqual([null, null, null, '1', '1'])
    // A request without a key shares that bucket; a valid key does not.
    const bare = await fetch(app.url + SEND, { method: 'POST' })
    expect([bare.status, bare.headers.get('x-ratelimit-remaining')]).toEqual([429, '0'])
    expect((await send(app)).headers.get('x-ratelimit-remaining')).toBe('2')
    clock.jump(1)
    expect(await statuses(2, () => send(app, { 'x-api-key': 'made-up' }))).toEqual([401, 429])
  })

  test('a key of another tenant is charged to the address: 403, then 429', async () => {
    await using service = await start({ ...ENV, TENANT_ENABLED: 'true', TENANT_API_KEYS: `acme:${ACME}` })
    const { app } = service
    const foreign = () => send(app, { 'x-api-key': ACME, 'x-tenant-id': 'globex' })
    expect(await statuses(4, foreign)).toEqual([403, 403, 403, 429])
    expect((await send(app, { 'x-api-key': 'made-up' })).status).toBe(429)
    const own = await send(app, { 'x-api-key': ACME, 'x-tenant-id': 'acme' })
    expect([own.status, own.headers.get('x-ratelimit-remaining')]).toEqual([200, '2'])
  })

  test('callers of a server without keys are limited by address', async () => {
    await using service = await start({ ...ENV, API_KEY: '', TRUSTED_PROXIES: '127.0.0.1' })
    const { app } = service
    const from = (address: string) => send(app, { 'x-forwarded-for': address })
    expect(await statuses(4, () => from('198.51.100.1'))).toEqual([200, 200, 200, 429])
    expect((await from('198.51.100.2')).headers.get('x-ratelimit-remaining')).toBe('2')
  })
})

describe('the address', () => {
  const ENV = { RATELIMIT_HTTP_BURST_SIZE: '1', RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1' }
  const from = (app: TestApp, forwardedFor: string) =>
    send(app, { 'x-api-key': 'made-up', 'x-forwarded-for': forwardedFor })

  test('is the peer without a trusted proxy, whatever the headers', async () => {
    await using service = await start(ENV)
    expect(await statuses(3, n => from(service.app, `198.51.100.${n}`))).toEqual([401, 429, 429])
  })

  test('is the one that a trusted proxy saw, not one that the client added', async () => {
    await using service = await start({ ...ENV, TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' })
    const { app } = service
    const asked = [
      '198.51.100.1',
      '203.0.113.1, 198.51.100.1',
      '203.0.113.2, 198.51.100.1, 10.1.2.3',
      '198.51.100.2',
      '::ffff:198.51.100.2',
      '2001:db8:1:2::1',
      '2001:db8:1:2:ffff::2',
      '2001:db8:1:3::1',
      'nonsense-1',
      '198.51.100.3, nonsense-2',
    ]
    expect(await statuses(asked.length, n => from(app, asked[n] ?? ''))).toEqual([
      401, 429, 429, 401, 429, 401, 429, 401, 401, 429,
    ])
  })
})

test('health, unknown paths, wrong methods and OPTIONS are never limited or charged', async () => {
  await using service = await start({ RATELIMIT_HTTP_BURST_SIZE: '1' })
  const { app } = service
  const free: [method: string, path: string, status: number][] = [
    ['GET', '/health', 200],
    ['GET', '/health/live', 200],
    ['HEAD', '/health/ready', 200],
    ['GET', '/nowhere', 404],
    ['GET', SEND, 405],
    ['OPTIONS', SEND, 200],
    ['OPTIONS', '/nowhere', 200],
  ]
  for (let round = 0; round < 3; round++)
    for (const [method, path, status] of free) {
      const answer = await fetch(app.url + path, { method, headers: { 'x-api-key': 'made-up' } })
      expect([method, path, answer.status]).toEqual([method, path, status])
      expect(answer.headers.has('x-ratelimit-limit')).toBe(false)
    }
  expect((await send(app, { 'x-api-key': 'made-up' })).status).toBe(401)
  expect(app.app.stats.rateAllowed.http).toBe(1)
})

test('with RATELIMIT_ENABLED=false nothing is limited, counted or announced', async () => {
  await using service = await start({
    RATELIMIT_ENABLED: 'false',
    RATELIMIT_HTTP_BURST_SIZE: '1',
    RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
    RATELIMIT_WS_MESSAGES_PER_SECOND: '1',
  })
  const { app } = service
  for (const key of [API_KEY, 'made-up'])
    for (let n = 0; n < 5; n++) {
      const { status, headers } = await send(app, { 'x-api-key': key })
      expect([status, headers.has('x-ratelimit-limit')]).toEqual([key === API_KEY ? 200 : 401, false])
    }
  expect([app.app.stats.rateAllowed, app.app.stats.rateDenied]).toEqual([
    { http: 0, ws: 0 },
    { http: 0, ws: 0 },
  ])
})

test('a request is denied before its body is read', async () => {
  await using service = await start({ RATELIMIT_HTTP_BURST_SIZE: '1' })
  await send(service.app)
  const answer = await fetch(service.app.url + SEND, {
    method: 'POST',
    headers: { 'x-api-key': API_KEY },
    body: new ReadableStream({ pull: controller => controller.enqueue(new Uint8Array(65_536)) }),
  })
  expect(answer.status).toBe(429)
})
