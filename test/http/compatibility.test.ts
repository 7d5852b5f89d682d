import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { signToken } from '../../src/auth/sign.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket, connectStream, type SocketClient } from '../support/client.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { startRedis } from '../support/redis.ts'
import { sample } from '../support/samples.ts'
import { startService } from '../support/service.ts'
import { startHearing, subscribed } from '../support/trigger.ts'
import { eventually, settle, socketOf } from '../support/visit.ts'

/** Promises of version 1, with requests of its clients. Answers may contain new fields. */

const N = '/api/v1/notifications'
const KEY = 'your-api-key'
const UUID = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const COUNT = expect.any(Number)
const EVENT = { event_type: 'order.created', payload: { order_id: 7 } }
const RESULT = { success: true, notification_id: UUID, delivered_to: 1, failed: 0, timestamp: TIME }

const TEMPLATE = {
  id: 'order-shipped',
  name: 'Order shipped',
  event_type: 'order.shipped',
  payload_template: { text: '{{order_id}} is on its way', tracking: '{{tracking_number}}' },
  default_priority: 'Normal',
  default_ttl: 3600,
  description: 'sent when the parcel leaves',
}
const TEMPLATE_ANSWER = { ...TEMPLATE, created_at: TIME, updated_at: TIME }
const TENANT_STATS = {
  active_connections: COUNT,
  total_connections: COUNT,
  messages_sent: COUNT,
  messages_delivered: COUNT,
}
const ITEM = { index: COUNT, notification_id: UUID, delivered_to: 1, failed: 0, success: true }

type Row = readonly [request: string, body: object | undefined, status: number, answer: object | undefined]

/** Endpoints in version 1's order. `user123` is connected and subscribes to `orders`. */
const ENDPOINTS: readonly Row[] = [
  [`POST ${N}/send`, { target_user_id: 'user123', ...EVENT, priority: 'High', ttl: 3600 }, 200, RESULT],
  [`POST ${N}/send-to-users`, { target_user_ids: ['user123', 'away'], ...EVENT }, 200, RESULT],
  [`POST ${N}/broadcast`, { ...EVENT, audience: { type: 'All' } }, 200, RESULT],
  [`POST ${N}/channel`, { channel: 'orders', ...EVENT }, 200, RESULT],
  [`POST ${N}/channels`, { channels: ['orders', 'none'], ...EVENT, correlation_id: 'c-1' }, 200, RESULT],
  [
    `POST ${N}/batch`,
    {
      notifications: [
        { target: { type: 'user', value: 'user123' }, ...EVENT },
        { target: { type: 'users', value: ['user123'] }, ...EVENT },
        { target: { type: 'broadcast' }, ...EVENT },
        { target: { type: 'channel', value: 'orders' }, ...EVENT },
        { target: { type: 'channels', value: ['orders'] }, ...EVENT },
      ],
      options: { stop_on_error: false, deduplicate: false },
    },
    200,
    {
      batch_id: UUID,
      results: [0, 1, 2, 3, 4].map(index => ({ ...ITEM, index })),
      summary: { total: 5, succeeded: 5, failed: 0, skipped: 0, total_delivered: 5 },
      timestamp: TIME,
    },
  ],
  [
    'GET /api/v1/channels',
    undefined,
    200,
    { channels: [{ name: 'orders', subscriber_count: 1 }], total_channels: 1 },
  ],
  ['GET /api/v1/channels/orders', undefined, 200, { name: 'orders', subscriber_count: 1 }],
  [
    'GET /api/v1/users/user123/subscriptions',
    undefined,
    200,
    { user_id: 'user123', connection_count: 1, subscriptions: ['orders'] },
  ],
  ['POST /api/v1/templates', TEMPLATE, 201, TEMPLATE_ANSWER],
  ['GET /api/v1/templates', undefined, 200, { templates: [TEMPLATE_ANSWER], total: 1 }],
  ['GET /api/v1/templates/order-shipped', undefined, 200, TEMPLATE_ANSWER],
  ['PUT /api/v1/templates/order-shipped', { name: 'Gone' }, 200, { ...TEMPLATE_ANSWER, name: 'Gone' }],
  [
    `POST ${N}/send`,
    {
      target_user_id: 'user123',
      template_id: 'order-shipped',
      variables: { order_id: 7, tracking_number: 'T' },
    },
    200,
    RESULT,
  ],
  ['DELETE /api/v1/templates/order-shipped', undefined, 204, undefined],
  [
    'GET /api/v1/tenants',
    undefined,
    200,
    { enabled: false, tenants: [{ tenant_id: 'default', stats: TENANT_STATS }], total: 1 },
  ],
  [
    'GET /api/v1/tenants/default',
    undefined,
    200,
    {
      tenant_id: 'default',
      stats: TENANT_STATS,
      connection_stats: { total_connections: 1, unique_users: 1 },
    },
  ],
  [
    'GET /health',
    undefined,
    200,
    {
      status: 'healthy',
      version: expect.any(String),
      redis: { status: 'disabled', connected: false },
      uptime_seconds: COUNT,
      connections: { total: 1, unique_users: 1, channels_count: 1 },
      queue: { enabled: true, total_messages: COUNT, users_with_queue: COUNT },
    },
  ],
  [
    'GET /stats',
    undefined,
    200,
    {
      connections: { total_connections: 1, unique_users: 1, channels: { orders: 1 } },
      notifications: {
        total_sent: 11,
        total_delivered: 11,
        total_failed: 0,
        user_notifications: 5,
        broadcast_notifications: 2,
        channel_notifications: 4,
      },
      redis: {
        status: 'disabled',
        connected: false,
        circuit_breaker_state: 'closed',
        circuit_breaker_failures: 0,
        reconnection_attempts: 0,
        total_reconnections: 0,
      },
      ack: {
        enabled: true,
        // One user is offline and is tracked from its delivery.
        total_tracked: 11,
        total_acked: 0,
        total_expired: 0,
        pending_count: 11,
        ack_rate: 1,
        avg_latency_ms: COUNT,
      },
    },
  ],
]

const ERRORS: readonly (readonly [
  request: string,
  body: unknown,
  headers: object,
  status: number,
  code: string,
])[] = [
  [`POST ${N}/send`, { target_user_id: 'u', ...EVENT }, { 'x-api-key': 'wrong' }, 401, 'UNAUTHORIZED'],
  ['GET /stats', undefined, { 'x-api-key': '' }, 401, 'UNAUTHORIZED'],
  [`POST ${N}/send`, '{"target_user_id":', {}, 400, 'INVALID_JSON'],
  [`POST ${N}/send`, { target_user_id: 'u' }, {}, 422, 'VALIDATION_ERROR'],
  [`POST ${N}/send`, { target_user_id: 'u', template_id: 'none' }, {}, 400, 'VALIDATION_ERROR'],
  [`POST ${N}/batch`, { notifications: [] }, {}, 400, 'VALIDATION_ERROR'],
  ['POST /api/v1/templates', { ...TEMPLATE, id: 'a b' }, {}, 400, 'INVALID_ID'],
  ['GET /api/v1/templates/none', undefined, {}, 404, 'TEMPLATE_NOT_FOUND'],
  ['GET /api/v1/channels/none', undefined, {}, 404, 'CHANNEL_NOT_FOUND'],
  ['GET /api/v1/users/none/subscriptions', undefined, {}, 404, 'USER_NOT_CONNECTED'],
  ['GET /api/v1/tenants/none', undefined, {}, 404, 'TENANT_NOT_FOUND'],
  ['GET /nowhere', undefined, {}, 404, 'NOT_FOUND'],
  ['GET /ws?token=none', undefined, {}, 401, 'UNAUTHORIZED'],
  ['GET /sse', undefined, {}, 401, 'UNAUTHORIZED'],
]

describe('every endpoint of version 1 accepts the same requests and answers with the same fields', () => {
  let app: TestApp
  let listener: SocketClient

  beforeAll(async () => {
    app = await startTestApp({ API_KEY: KEY, QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
    listener = await subscribed(app, 'user123', 'orders')
  })
  afterAll(async () => {
    listener.close()
    await app[Symbol.asyncDispose]()
  })

  const call = async (request: string, body: unknown, headers: object = {}) => {
    const [method = '', path = ''] = request.split(' ')
    const response = await fetch(app.url + path, {
      method,
      headers: { 'X-API-Key': KEY, 'Content-Type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) }
  }

  for (const [request, body, status, answer] of ENDPOINTS)
    test(`${request} is answered ${status}`, async () => {
      const given = await call(request, body)
      expect(given.status).toBe(status)
      if (answer === undefined) expect(given.json).toBeUndefined()
      else expect(given.json).toMatchObject(answer)
    })

  for (const [request, body, headers, status, code] of ERRORS)
    test(`${request} is answered ${status} ${code} with ${JSON.stringify(body)} and ${JSON.stringify(headers)}`, async () => {
      const { json, ...given } = await call(request, body, headers)
      expect(given.status).toBe(status)
      expect(json.error).toMatchObject({ code, message: expect.any(String) })
    })
})

test('a notification has every field of version 1 and omits unset fields', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  await app.post(`${N}/send`, { target_user_id: 'u', ...EVENT })
  const full = { ...EVENT, priority: 'Critical', ttl: 60, correlation_id: 'c', audience: { type: 'All' } }
  await app.post(`${N}/broadcast`, full)
  const base = { type: 'notification', id: UUID, occurred_at: TIME, ...EVENT }
  expect(await client.take(2)).toEqual([
    { ...base, metadata: { source: 'http-api', priority: 'Normal' } },
    {
      ...base,
      metadata: {
        source: 'http-api',
        priority: 'Critical',
        ttl: 60,
        audience: { type: 'All' },
        correlation_id: 'c',
      },
    },
  ])
})

test('every message of a version 1 client gets the same answer and nothing else', async () => {
  await using app = await startTestApp({ ACK_ENABLED: 'true', WEBSOCKET_HEARTBEAT_INTERVAL: '1' })
  using client = await socketOf(app, 'u')
  const said = async (message: object) => {
    client.send(message)
    return settle(client)
  }
  const channels = ['orders', 'system-alerts']
  expect(await said({ type: 'Subscribe', payload: { channels } })).toEqual([
    { type: 'subscribed', payload: channels },
  ])
  expect(await said({ type: 'Unsubscribe', payload: { channels: ['orders'] } })).toEqual([
    { type: 'unsubscribed', payload: ['orders'] },
  ])
  client.send({ type: 'Ping' })
  expect(await client.next()).toEqual({ type: 'pong' })
  const { json } = await app.post(`${N}/send`, { target_user_id: 'u', ...EVENT })
  expect((await client.next()).id).toBe(json.notification_id)
  const notification_id = json.notification_id
  expect(await said({ type: 'Ack', payload: { notification_id } })).toEqual([
    { type: 'acked', notification_id },
  ])
  for (const [message, code] of [
    [{ type: 'Ack', payload: { notification_id: crypto.randomUUID() } }, 'INVALID_ACK'],
    [{ type: 'Subscribe', payload: { channels: ['a b'] } }, 'SUBSCRIPTION_ERROR'],
    [{ type: 'Shout' }, 'INVALID_MESSAGE'],
  ] as const)
    expect(await said(message)).toEqual([{ type: 'error', code, message: expect.any(String) }])
  expect(await client.nextOf('heartbeat')).toEqual({ type: 'heartbeat' })
})

describe('the server accepts the samples of docs/COMPATIBILITY.md', () => {
  test('the requests of Symfony, byte for byte', async () => {
    await using app = await startTestApp({ API_KEY: KEY })
    using client = await socketOf(app, 'user123')
    expect((await app.post('/api/v1/templates', TEMPLATE, { 'x-api-key': KEY })).status).toBe(201)
    const ask = async (body: string) => {
      const lines = [
        `POST ${N}/send HTTP/1.1`,
        `X-API-Key: ${KEY}`,
        'Content-Type: application/json',
        'Accept: */*',
        'User-Agent: Symfony HttpClient (Curl)',
        'Accept-Encoding: gzip',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Connection: close',
      ]
      using exchange = await exchangeRaw(app.port, lines, body)
      await exchange.closed
      expect(exchange.head).toStartWith('HTTP/1.1 200 OK')
      expect(JSON.parse(exchange.text())).toMatchObject(RESULT)
    }
    // Symfony escapes quotes, apostrophes, `&`, `<` and `>` as \u sequences.
    await ask(
      '{"target_user_id":"user123","event_type":"order.created","payload":{"order_id":"\\u0026\\u00273","amount":99.99},"priority":"High","ttl":3600}',
    )
    expect(await client.next()).toMatchObject({
      event_type: 'order.created',
      payload: { order_id: "&'3", amount: 99.99 },
      metadata: { source: 'http-api', priority: 'High', ttl: 3600 },
    })
    await ask(
      '{"target_user_id":"user123","template_id":"order-shipped","variables":{"order_id":12345,"tracking_number":"TW\\u0022123"}}',
    )
    expect(await client.next()).toMatchObject({
      event_type: 'order.shipped',
      payload: { text: '12345 is on its way', tracking: 'TW"123' },
      metadata: { source: 'http-api', priority: 'Normal', ttl: 3600 },
    })
  })

  test('the Redis message of Symfony, byte for byte, and those on the other two channels', async () => {
    await using redis = await startRedis()
    await using app = await startHearing(redis)
    using client = await subscribed(app, 'user123', 'orders')
    await redis.publish(
      'notification:user:user123',
      '{"type":"user","target":"user123","event":{"event_type":"order.created","payload":{"order_id":12345},"priority":"High"}}',
    )
    expect(await client.next()).toMatchObject({
      event_type: 'order.created',
      payload: { order_id: 12345 },
      metadata: { source: 'redis:notification:user:user123', priority: 'High' },
    })
    await redis.publish('notification:broadcast', { type: 'broadcast', event: EVENT })
    expect((await client.next()).metadata.source).toBe('redis:notification:broadcast')
    const to = (type: string, target: unknown) => ({ type, target, event: EVENT })
    await redis.publish('notification:channel:orders', to('channel', 'orders'))
    expect((await client.next()).metadata.source).toBe('redis:notification:channel:orders')
    await redis.publish('notification:channel:orders', to('channels', ['orders', 'none']))
    await redis.publish('notification:user:any', to('users', ['user123', 'none']))
    expect((await client.take(2)).map(({ payload }) => payload)).toEqual([EVENT.payload, EVENT.payload])
  })

  test('the curl commands, against a server with the settings of `docker run`', async () => {
    await using redis = await startRedis()
    const set = [...(await sample('docker run')).matchAll(/-e (\w+)=(\S+)/g)].map(
      ([, name = '', value = '']) => [name, value.replace('redis:6379', `127.0.0.1:${redis.port}`)],
    )
    const env: Record<string, string> = Object.fromEntries(set)
    expect(Object.keys(env)).toEqual(['JWT_SECRET', 'REDIS_URL'])
    await using service = await startService({ API_KEY: '', ...env })
    const { JWT_SECRET: secret = '' } = env
    const token = await signToken({ secret, user: 'user123', seconds: 60, clock: systemClock })

    // Makes curl resolve `localhost:8081` to the test server.
    const home = await mkdtemp(join(tmpdir(), 'curl-'))
    await writeFile(
      join(home, '.curlrc'),
      `silent\nconnect-to = "localhost:8081:127.0.0.1:${service.port}"\n`,
    )
    const shell = (line: string) =>
      Bun.spawn(['sh', '-c', `exec ${line}`], {
        env: { PATH: process.env['PATH'] ?? '', HOME: home, CURL_HOME: home },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      })
    const listening = shell((await sample('curl, SSE')).replace('<JWT>', token))
    const events = awaitedLater(
      (async () => {
        let text = ''
        for await (const piece of listening.stdout.pipeThrough(new TextDecoderStream())) {
          text += piece
          if (text.includes('redis:notification:user:user123')) break
        }
        listening.kill()
        return text
      })(),
    )
    const health = async () => (await fetch(`${service.url}/health`)).json()
    await eventually(async () => {
      const { connections, redis: trigger } = (await health()) as {
        connections: { total: number }
        redis: { connected: boolean }
      }
      return connections.total === 1 && trigger.connected
    })
    // Sends a key although none is configured: the server ignores it.
    const sending = shell(await sample('curl, send'))
    expect([JSON.parse(await sending.stdout.text()), await sending.exited]).toMatchObject([RESULT, 0])
    const message = { type: 'user', target: 'user123', event: EVENT }
    await redis.publish('notification:user:user123', message)
    const text = await events
    expect(text).toContain('event: connected\ndata: {')
    expect(text).toContain('"event_type":"test","payload":{}')
    expect(text).toContain('"payload":{"order_id":7}')
    await rm(home, { recursive: true })
    service.signal('SIGTERM')
    expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  })
})

test('a version 1 token with all its claims opens a WebSocket and a stream', async () => {
  await using app = await startTestApp({ JWT_ISSUER: 'ara', JWT_AUDIENCE: 'notification' })
  const now = Math.floor(Date.now() / 1000)
  const claims = { iat: now, iss: 'ara', aud: 'notification', roles: ['admin'], tenant_id: 'acme' }
  const token = await app.token('u', claims)
  using socket = await connectSocket(`${app.url}/ws?token=${token}`)
  using stream = await connectStream(`${app.url}/sse?token=${token}`)
  const audience = { type: 'Roles', value: ['admin'] }
  const { json } = await app.post(`${N}/broadcast`, { ...EVENT, audience })
  expect(json).toMatchObject({ ...RESULT, delivered_to: 2 })
  expect((await socket.nextOf('notification')).payload).toEqual(EVENT.payload)
  expect((await stream.nextOf('notification')).data.payload).toEqual(EVENT.payload)
})
