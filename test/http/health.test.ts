import { expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket, connectStream } from '../support/client.ts'

const AT = '/api/v1/notifications'
const EVENT = { event_type: 'e', payload: null }

/** `/health` of a fresh server with some values replaced. */
const healthy = (changed: object = {}) => ({
  status: 'healthy',
  version: '0.0.0-test',
  redis: { status: 'disabled', connected: false },
  uptime_seconds: 0,
  node: 'test',
  connections: { total: 0, unique_users: 0, channels_count: 0 },
  queue: { enabled: false, backend: 'memory', total_messages: 0, users_with_queue: 0 },
  store: { kind: 'memory', status: 'healthy' },
  bus: { kind: 'none', status: 'healthy' },
  ...changed,
})

const healthOf = async (service: TestApp) => (await service.get('/health')).json

async function listen(service: TestApp, user: string, channels: readonly string[] = []) {
  const client = await connectSocket(`${service.url}/ws?token=${await service.token(user)}`)
  client.send({ type: 'Subscribe', payload: { channels } })
  client.send({ type: 'Ping' })
  await client.nextOf('pong')
  return client
}

/** Resolves with `/health` as soon as it shows this many connections. */
async function healthWith(service: TestApp, connections: number) {
  for (;;) {
    const health = await healthOf(service)
    if (health.connections.total === connections) return health
  }
}

test('a fresh server is healthy and answers in the documented key order', async () => {
  const clock = { now: () => Date.now(), monotonic: () => 5_000 }
  await using service = await startTestApp({}, { clock })
  const { status, headers, text, json } = await service.get('/health')
  expect([status, json]).toEqual([200, healthy()])
  expect(text).toBe(JSON.stringify(healthy()))
  expect(headers.get('content-type')).toStartWith('application/json')
})

test('uptime counts whole seconds of the monotonic clock', async () => {
  let [now, monotonic] = [Date.now(), 5_500]
  await using service = await startTestApp({}, { clock: { now: () => now, monotonic: () => monotonic } })
  now -= 3_600_000
  monotonic += 12_999
  expect(await healthOf(service)).toEqual(healthy({ uptime_seconds: 12 }))
})

test('/health counts sockets and streams, and each user and channel once', async () => {
  await using service = await startTestApp({}, { clock: { now: () => Date.now(), monotonic: () => 0 } })
  const first = await listen(service, 'a', ['c', 'd'])
  const second = await listen(service, 'a', ['c'])
  const third = await connectStream(`${service.url}/sse?token=${await service.token('b')}`)
  const counts = (total: number, unique_users: number, channels_count: number) =>
    healthy({ connections: { total, unique_users, channels_count } })
  expect(await healthOf(service)).toEqual(counts(3, 2, 2))
  first.send({ type: 'Unsubscribe', payload: { channels: ['d'] } })
  await first.nextOf('unsubscribed')
  expect(await healthOf(service)).toEqual(counts(3, 2, 1))
  third.close()
  expect(await healthWith(service, 2)).toEqual(counts(2, 1, 1))
  first.close()
  expect(await healthWith(service, 1)).toEqual(counts(1, 1, 1))
  second.close()
  expect(await healthWith(service, 0)).toEqual(healthy())
})

test('the queue counts retained entries, delivered or not', async () => {
  let now = Date.now()
  const clock = { now: () => now, monotonic: () => now }
  const env = { QUEUE_ENABLED: 'true', QUEUE_MESSAGE_TTL_SECONDS: '100' }
  await using service = await startTestApp(env, { clock })
  using client = await listen(service, 'here')
  const queue = async () => (await healthOf(service)).queue
  const counts = (total_messages: number, users_with_queue: number) => ({
    enabled: true,
    backend: 'memory',
    total_messages,
    users_with_queue,
  })
  expect(await healthOf(service)).toEqual(
    healthy({ connections: { total: 1, unique_users: 1, channels_count: 0 }, queue: counts(0, 0) }),
  )
  await service.post(`${AT}/send-to-users`, { target_user_ids: ['here', 'a', 'b'], ...EVENT })
  await service.post(`${AT}/send`, { target_user_id: 'a', ...EVENT, ttl: 10 })
  await service.post(`${AT}/send`, { target_user_id: 'a', ...EVENT, ttl: 0 })
  await service.post(`${AT}/broadcast`, EVENT)
  expect(await queue()).toEqual(counts(4, 3))
  now += 10_001
  expect(await queue()).toEqual(counts(3, 3))
  now += 90_000
  expect(await queue()).toEqual(counts(0, 0))
  expect((await client.inbox.take(2)).map(({ type }) => type)).toEqual(['notification', 'notification'])
})

test('the queue is disabled and zero with the log off', async () => {
  await using service = await startTestApp()
  await service.post(`${AT}/send`, { target_user_id: 'a', ...EVENT })
  expect((await healthOf(service)).queue).toEqual(healthy().queue)
})

test('/health never calls a store healthy and unavailable in one answer', async () => {
  let up = true
  const wrapStore = (store: Store): Store => ({
    ...store,
    isUp: () => up,
    log: {
      ...store.log,
      totals: () => {
        up = false
        return store.log.totals()
      },
    },
  })
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' }, { wrapStore })
  expect(await healthOf(service)).toMatchObject({ status: 'degraded', store: { status: 'unavailable' } })
})

test('/health/live and /health/ready need no key and ignore a wrong one', async () => {
  await using service = await startTestApp()
  for (const headers of [{}, { 'x-api-key': 'wrong' }])
    for (const [path, body] of [
      ['/health/live', '{"status":"alive"}'],
      ['/health/ready', '{"status":"ready"}'],
    ] as const) {
      const response = await fetch(service.url + path, { headers })
      expect([response.status, await response.text()]).toEqual([200, body])
    }
})

test('a draining server is alive but not ready, until its last connection closes', async () => {
  await using service = await startTestApp({ DRAIN_SECONDS: '1' })
  using first = await listen(service, 'a')
  using second = await listen(service, 'a')
  const drained = awaitedLater(service.app.drain())
  const ready = await service.get('/health/ready')
  expect([ready.status, ready.json]).toEqual([
    503,
    {
      error: { code: 'NOT_READY', message: expect.any(String) },
      status: 'not_ready',
      reasons: ['draining'],
    },
  ])
  expect(ready.headers.get('connection')).toBe('close')
  const head = await fetch(`${service.url}/health/ready`, { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([503, ''])
  expect((await service.get('/health/live')).json).toEqual({ status: 'alive' })
  const { status, json } = await service.get('/health')
  expect([status, json.status]).toEqual([200, 'healthy'])
  const refused = await service.get(`/sse?token=${await service.token('b')}`)
  expect([refused.status, refused.json.error.code]).toEqual([503, 'SHUTTING_DOWN'])
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await service.post(`${AT}/send`, { target_user_id: 'a', ...EVENT })).status).toBe(200)
  for (const client of [first, second]) expect((await client.closed).code).toBe(1012)
  await drained
})

test.each(['/health', '/health/live', '/health/ready'])(
  'HEAD %s answers like GET, without the body',
  async path => {
    await using service = await startTestApp()
    const [head, get] = [await fetch(service.url + path, { method: 'HEAD' }), await fetch(service.url + path)]
    expect([head.status, head.headers.get('content-type')]).toEqual([200, get.headers.get('content-type')])
    expect([await head.text(), (await get.text()) === '']).toEqual(['', false])
  },
)
