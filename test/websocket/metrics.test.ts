import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import type { Message, SocketClient, StreamClient } from '../support/client.ts'
import { createStoppedClock } from '../support/clock.ts'
import { changesBy, changesSince, scrape } from '../support/metrics.ts'
import { sendIn, waysTo } from '../support/tenants.ts'
import {
  broadcast,
  eventually,
  publish,
  rawOf,
  send,
  sendToUsers,
  settle,
  socketOf,
  streamOf,
} from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const ACK_ON = { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' }
const BATCH = '/api/v1/notifications/batch'
const TEXT = 1

/** Changes of all metrics except those of requests and the store. */
async function effectOf(app: TestApp, act: () => Promise<unknown>): Promise<Record<string, number>> {
  const changes = await changesBy(app, act)
  return Object.fromEntries(
    Object.entries(changes).filter(([series]) => !/^ara_(http|store_operation)/.test(series)),
  )
}

/** Changes by one new WebSocket or stream of another user. */
const opened = (transport: 'ws' | 'sse', connections = 1) => ({
  ara_connections_total: connections,
  [`ara_connections_open{transport="${transport}"}`]: connections,
  ara_users_connected: connections,
  ara_ws_connections_opened_total: connections,
  ara_connections_per_user_count: connections,
  ara_connections_per_user_sum: connections,
})

const closed = (transport: 'ws' | 'sse', code: number | string) => ({
  ara_connections_total: -1,
  [`ara_connections_open{transport="${transport}"}`]: -1,
  ara_users_connected: -1,
  ara_ws_connections_closed_total: 1,
  ara_ws_connection_duration_seconds_count: 1,
  [`ara_connection_closes_total{code="${code}"}`]: 1,
})

const handed = (frames: number) => ({
  ara_messages_delivered_total: frames,
  ara_message_delivery_latency_seconds_count: frames,
})

const openOf = async (app: TestApp) => (await scrape(app)).value('ara_connections_total')

async function subscribe(client: SocketClient, ...channels: readonly string[]): Promise<void> {
  client.send({ type: 'Subscribe', payload: { channels } })
  await client.nextOf('subscribed')
}

/** Frames of notifications that the clients have read. */
const framesOf = (...clients: readonly (SocketClient | StreamClient)[]): number =>
  clients.reduce(
    (sum, { inbox }) => sum + inbox.all.filter(item => (item.type ?? item.event) === 'notification').length,
    0,
  )

describe('sends', () => {
  test('each kind counts once by its target, and once per delivered frame', async () => {
    await using app = await startTestApp()
    using one = await socketOf(app, 'u')
    using two = await socketOf(app, 'u')
    using stream = await streamOf(app, 'u')
    await stream.next()
    for (const client of [one, two]) await subscribe(client, 'c')
    const targets = ['user', 'users', 'broadcast', 'channel', 'channels']
    for (const [n, way] of waysTo('u', 'c').entries()) {
      const target = targets[n % 5] ?? ''
      const isBatch = way.path.endsWith('batch')
      expect([way.name, await effectOf(app, () => sendIn(app, 'default', way, n))]).toEqual([
        way.name,
        {
          [`ara_messages_sent_total{target="${target}"}`]: 1,
          // Streams have no channels.
          ...handed(target.startsWith('channel') ? 2 : 3),
          ...(isBatch && { ara_batch_requests_total: 1, ara_batch_size_count: 1, ara_batch_size_sum: 1 }),
        },
      ])
    }
    for (const client of [one, two]) await settle(client)
    await eventually(() => framesOf(stream) === 6)
    expect((await scrape(app)).value('ara_messages_delivered_total')).toBe(framesOf(one, two, stream))
  })

  test('without receivers count as sent; rejected and expired ones do not', async () => {
    await using app = await startTestApp()
    expect(await effectOf(app, () => send(app, 'nobody', 1))).toEqual({
      'ara_messages_sent_total{target="user"}': 1,
    })
    expect(await effectOf(app, () => app.post('/api/v1/notifications/send', {}))).toEqual({})
  })

  test('a batch counts its items; a rejected batch counts nothing', async () => {
    await using app = await startTestApp()
    const item = { target: { type: 'broadcast' }, event_type: 'e', payload: 1 }
    const post = (items: number) =>
      app.post(BATCH, { notifications: Array.from({ length: items }, () => item) })
    expect(await effectOf(app, () => post(30))).toEqual({
      'ara_messages_sent_total{target="broadcast"}': 30,
      ara_batch_requests_total: 1,
      ara_batch_size_count: 1,
      ara_batch_size_sum: 30,
    })
    for (const items of [0, 101]) expect(await effectOf(app, () => post(items))).toEqual({})
    const seen = await scrape(app)
    expect(seen.value('ara_batch_size_bucket{le="25"}')).toBe(0)
    expect(seen.value('ara_batch_size_bucket{le="50"}')).toBe(1)
  })

  test('the latency histogram measures live deliveries, not replays', async () => {
    const clock = createStoppedClock()
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const wrapStore = (store: Store): Store => ({
      ...store,
      log: {
        ...store.log,
        append: async drafts => {
          asked.resolve()
          await gate.promise
          return store.log.append(drafts)
        },
      },
    })
    await using app = await startTestApp(LOG_ON, { clock, wrapStore })
    using client = await socketOf(app, 'u')
    await settle(client)
    const before = await scrape(app)
    const sent = awaitedLater(send(app, 'u', 1))
    await asked.promise
    clock.jump(0.3)
    gate.resolve()
    await sent
    await client.next()
    const after = await scrape(app)
    const of = (name: string) => after.value(name) - before.value(name)
    expect(of('ara_message_delivery_latency_seconds_bucket{le="0.25"}')).toBe(0)
    expect(of('ara_message_delivery_latency_seconds_bucket{le="0.5"}')).toBe(1)
    expect(of('ara_message_delivery_latency_seconds_sum')).toBeCloseTo(0.3, 6)
    expect(of('ara_store_operation_seconds_bucket{le="0.25",op="append"}')).toBe(0)
    expect(of('ara_store_operation_seconds_sum{op="append"}')).toBeCloseTo(0.3, 6)
    expect(
      after.value('ara_http_request_latency_seconds_sum{method="POST",path="/api/v1/notifications/send"}'),
    ).toBeCloseTo(0.3, 6)
  })
})

test('a send with a key counts once; repeats count as replayed, conflict or in progress', async () => {
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  let isSlow = false
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      append: async drafts => {
        if (isSlow) {
          asked.resolve()
          await gate.promise
        }
        return store.log.append(drafts)
      },
    },
  })
  await using app = await startTestApp(LOG_ON, { wrapStore })
  const key = { 'idempotency-key': 'k' }
  const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
  const post = (more: object = {}) => app.post('/api/v1/notifications/send', { ...body, ...more }, key)
  const result = (name: string) => ({ [`ara_idempotency_total{result="${name}"}`]: 1 })
  const first = await changesBy(app, () => post())
  expect(first).toMatchObject({
    ...result('new'),
    'ara_messages_sent_total{target="user"}': 1,
    'ara_store_operation_seconds_count{op="idempotency"}': 1,
  })
  expect(await effectOf(app, () => post())).toEqual(result('replayed'))
  expect(await effectOf(app, () => post({ event_type: 'other' }))).toEqual(result('conflict'))
  const items = [{ target: { type: 'user', value: 'u' }, event_type: 'e', payload: 1 }]
  const batch = () => app.post(BATCH, { notifications: items }, { 'idempotency-key': 'batch' })
  expect(await effectOf(app, batch)).toMatchObject({ ...result('new'), ara_batch_requests_total: 1 })
  expect(await effectOf(app, batch)).toEqual(result('replayed'))
  isSlow = true
  const slow = awaitedLater(app.post('/api/v1/notifications/send', body, { 'idempotency-key': 'slow' }))
  await asked.promise
  expect(
    await effectOf(app, () => app.post('/api/v1/notifications/send', body, { 'idempotency-key': 'slow' })),
  ).toEqual(result('in_progress'))
  gate.resolve()
  expect((await slow).status).toBe(200)
})

describe('connections', () => {
  test('count when they open and when they close, by close code', async () => {
    await using app = await startTestApp()
    let socket: SocketClient | undefined
    expect(
      await effectOf(app, async () => {
        socket = await socketOf(app, 'u')
        await settle(socket)
      }),
    ).toEqual({ ...opened('ws'), 'ara_ws_messages_received_total{type="ping"}': 1 })
    let stream: StreamClient | undefined
    expect(
      await effectOf(app, async () => {
        stream = await streamOf(app, 'v')
      }),
    ).toEqual(opened('sse'))
    expect(
      await effectOf(app, async () => {
        socket?.close()
        await eventually(async () => (await openOf(app)) === 1)
      }),
    ).toEqual(closed('ws', 1000))
    expect(
      await effectOf(app, async () => {
        stream?.close()
        await eventually(async () => (await openOf(app)) === 0)
      }),
    ).toEqual(closed('sse', 'sse'))
  })

  test('count under the close code of the server; other codes of clients count as `other`', async () => {
    await using app = await startTestApp()
    using socket = await socketOf(app, 'u')
    expect(
      await effectOf(app, async () => {
        await app.post('/api/v1/users/u/disconnect', {})
        await socket.closed
      }),
    ).toEqual(closed('ws', 4403))
    using raw = await rawOf(app, 'u')
    expect(
      await effectOf(app, async () => {
        raw.send(8, new Uint8Array([4000 >> 8, 4000 & 255]))
        await eventually(async () => (await openOf(app)) === 0)
      }),
    ).toEqual(closed('ws', 'other'))
  })

  test('of one user are measured at each registration', async () => {
    await using app = await startTestApp()
    const clients = [await socketOf(app, 'u'), await socketOf(app, 'u'), await socketOf(app, 'u')]
    using _other = await socketOf(app, 'v')
    const seen = await scrape(app)
    const buckets = [1, 2, 3, 4, 5, 10, '+Inf'].map(le =>
      seen.value(`ara_connections_per_user_bucket{le="${le}"}`),
    )
    expect(buckets).toEqual([2, 3, 4, 4, 4, 4, 4])
    expect(seen.value('ara_connections_per_user_sum')).toBe(7)
    expect([seen.value('ara_users_connected'), seen.value('ara_connections_total')]).toEqual([2, 4])
    for (const client of clients) client.close()
  })

  test('are measured from opening to close', async () => {
    const clock = createStoppedClock()
    await using app = await startTestApp({}, { clock })
    const client = await socketOf(app, 'u')
    clock.jump(45)
    client.close()
    await eventually(async () => (await openOf(app)) === 0)
    const seen = await scrape(app)
    expect(seen.value('ara_ws_connection_duration_seconds_bucket{le="30"}')).toBe(0)
    expect(seen.value('ara_ws_connection_duration_seconds_bucket{le="60"}')).toBe(1)
    expect(seen.value('ara_ws_connection_duration_seconds_sum')).toBeCloseTo(45, 6)
  })

  const TIGHT: readonly [reason: string, env: Environment, claims?: Record<string, unknown>][] = [
    ['user', { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' }],
    ['total', { WEBSOCKET_MAX_CONNECTIONS: '1' }],
    ['tenant', { TENANT_ENABLED: 'true', TENANT_DEFAULT_MAX_CONNECTIONS: '1' }, { tenant_id: 'acme' }],
  ]
  for (const [reason, env, claims = {}] of TIGHT)
    test(`over the limit (${reason}) count as refused and not as opened`, async () => {
      await using app = await startTestApp(env)
      using _first = await socketOf(app, 'u', { claims })
      expect(
        await effectOf(app, async () => {
          using second = await socketOf(app, 'u', { claims })
          await second.closed
        }),
      ).toEqual({
        [`ara_connections_refused_total{reason="${reason}"}`]: 1,
        'ara_connection_closes_total{code="1013"}': 1,
      })
      const token = await app.token('u', claims)
      expect(await effectOf(app, () => app.get(`/sse?token=${token}`))).toEqual({
        [`ara_connections_refused_total{reason="${reason}"}`]: 1,
      })
    })

  test('refused for token, origin, rate or drain count under their reason', async () => {
    await using app = await startTestApp({
      CORS_ORIGINS: 'https://a.example',
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '4',
      DRAIN_SECONDS: '1',
    })
    const refused = (reason: string) => ({ [`ara_connections_refused_total{reason="${reason}"}`]: 1 })
    const failed = (kind: string) => ({ [`ara_auth_failures_total{kind="${kind}"}`]: 1 })
    const allowed = { 'ara_ratelimit_allowed_total{type="ws"}': 1 }
    expect(await effectOf(app, () => app.get('/sse'))).toEqual({
      ...refused('token'),
      ...failed('jwt'),
      ...allowed,
    })
    expect(await effectOf(app, () => app.get('/ws?token=x'))).toEqual({
      ...refused('token'),
      ...failed('jwt'),
      ...allowed,
    })
    expect(await effectOf(app, () => app.get('/ws', { origin: 'https://b.example' }))).toEqual({
      ...refused('origin'),
      ...failed('origin'),
    })
    const clients = [await socketOf(app, 'u'), await socketOf(app, 'u')]
    expect(await effectOf(app, () => app.get('/sse'))).toEqual({
      ...refused('rate'),
      'ara_ratelimit_denied_total{type="ws"}': 1,
    })
    expect((await scrape(app)).value('ara_draining')).toBe(0)
    const drained = awaitedLater(app.app.drain())
    expect(await effectOf(app, () => app.get('/ws'))).toMatchObject(refused('draining'))
    expect((await scrape(app)).value('ara_draining')).toBe(1)
    for (const client of clients) await client.closed
    await drained
  })

  const bulk = 'x'.repeat(60_000)
  const STUCK: readonly [how: string, env: Environment, send: (app: TestApp) => Promise<Message>][] = [
    ['goes to their user, with the log off', {}, app => send(app, 'u', bulk)],
    ['goes to their user, with the log on', LOG_ON, app => send(app, 'u', bulk)],
    ['is broadcast', {}, app => broadcast(app, bulk)],
  ]
  for (const [how, env, sendBulk] of STUCK)
    test(`that do not read what ${how} count as slow consumers, and refused frames as failed`, async () => {
      await using app = await startTestApp({ ...env, SEND_BUFFER_BYTES: '65536' })
      using stuck = await rawOf(app, 'u')
      stuck.send(TEXT, '{"type":"Ping"}')
      await stuck.next()
      stuck.stall()
      const before = await scrape(app)
      let [delivered, failed] = [0, 0]
      while (failed === 0) {
        const result = await sendBulk(app)
        delivered += result.delivered_to
        failed += result.failed
      }
      expect(delivered).toBeGreaterThan(0)
      expect(changesSince(before, await scrape(app))).toMatchObject({
        ...closed('ws', 1006),
        ...handed(delivered),
        ara_messages_failed_total: 1,
        ara_slow_consumers_total: 1,
      })
    })
})

test('client messages count by type when they are valid, and separately over the rate', async () => {
  const env = {
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_WS_MESSAGES_PER_SECOND: '6',
    RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '100',
  }
  await using app = await startTestApp(env, { clock: createStoppedClock() })
  using client = await socketOf(app, 'u')
  const token = await app.token('u')
  expect(
    await effectOf(app, async () => {
      client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
      client.send({ type: 'Unsubscribe', payload: { channels: ['c'] } })
      client.send({ type: 'Ack', payload: { notification_id: crypto.randomUUID() } })
      client.send({ type: 'Auth', payload: { token } })
      client.send({ type: 'Nonsense' })
      client.send({ type: 'Ping' })
      await client.nextOf('pong')
      client.send({ type: 'Ping' })
      const { code } = await client
        .nextOf('error')
        .then(async error => (error.code === 'RATE_LIMITED' ? error : client.nextOf('error')))
      expect(code).toBe('RATE_LIMITED')
    }),
  ).toEqual({
    ...Object.fromEntries(
      ['subscribe', 'unsubscribe', 'ack', 'auth', 'ping'].map(type => [
        `ara_ws_messages_received_total{type="${type}"}`,
        1,
      ]),
    ),
    ara_ws_messages_limited_total: 1,
  })
})

describe('the log', () => {
  test('entries kept for offline users and frames of replays are counted', async () => {
    await using app = await startTestApp(LOG_ON)
    expect(await effectOf(app, () => sendToUsers(app, ['u', 'v'], 1))).toEqual({
      'ara_messages_sent_total{target="users"}': 1,
      ara_queue_enqueued_total: 2,
      ara_queue_size_total: 2,
      ara_queue_users_total: 2,
    })
    await send(app, 'u', 2)
    let client: SocketClient | undefined
    expect(
      await effectOf(app, async () => {
        client = await socketOf(app, 'u', { cursor: '' })
        await client.take(3)
        await eventually(async () => (await scrape(app)).value('ara_receipt_latency_seconds_count') === 1)
      }),
    ).toEqual({
      ...opened('ws'),
      'ara_resume_total{outcome="recovered"}': 1,
      ara_queue_replayed_total: 2,
      // Not counted: the connection is not live.
      ara_messages_delivered_total: 2,
      ara_receipt_latency_seconds_count: 1,
    })
    client?.close()
  })

  test('entries that ttl, age and overflow remove before they are received are counted', async () => {
    const clock = createStoppedClock()
    await using app = await startTestApp(
      { ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '2', QUEUE_CLEANUP_INTERVAL_SECONDS: '1' },
      { clock },
    )
    await send(app, 'u', 1, { ttl: 5 })
    await send(app, 'u', 2)
    expect(await effectOf(app, () => send(app, 'u', 3))).toEqual({
      'ara_messages_sent_total{target="user"}': 1,
      ara_queue_enqueued_total: 1,
      ara_queue_dropped_total: 1,
    })
    expect(
      await effectOf(app, async () => {
        clock.jump(4_000)
        await eventually(async () => (await scrape(app)).value('ara_queue_expired_total') === 2)
      }),
    ).toEqual({ ara_queue_expired_total: 2, ara_queue_size_total: -2, ara_queue_users_total: -1 })
  })

  const RESUMES: readonly [outcome: string, cursorOf: (last: string) => string | undefined][] = [
    ['none', () => undefined],
    ['recovered', () => ''],
    ['recovered', last => last],
    ['epoch_changed', () => 'nonsense'],
    ['trimmed', last => last.replace(/\d+$/, '1')],
  ]
  for (const transport of ['ws', 'sse'] as const)
    for (const [outcome, cursorOf] of RESUMES)
      test(`a connect by ${transport} with ${cursorOf('e:7') ?? 'no cursor'} counts as ${outcome}`, async () => {
        await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '1' })
        using first = await socketOf(app, 'u', { cursor: '' })
        let last = ''
        for (const n of [1, 2, 3, 4]) {
          await send(app, 'u', n)
          last = (await first.nextOf('notification')).cursor
          // Waits for the receipt before the next entry evicts this one.
          await settle(first)
        }
        const before = await scrape(app)
        const cursor = cursorOf(last)
        const client = await (transport === 'ws' ? socketOf : streamOf)(
          app,
          'u',
          cursor === undefined ? {} : { cursor },
        )
        const total = async () =>
          Object.entries(changesSince(before, await scrape(app))).filter(([name]) => name.includes('resume'))
        await eventually(async () => (await total()).length > 0)
        expect(await total()).toEqual([[`ara_resume_total{outcome="${outcome}"}`, 1]])
        client.close()
      })

  test('metrics of resuming, receipts and the log stay unchanged with the log off', async () => {
    await using app = await startTestApp()
    expect(
      await effectOf(app, async () => {
        using client = await socketOf(app, 'u', { cursor: '' })
        await client.nextOf('connected')
        await send(app, 'u', 1)
        await client.nextOf('notification')
        client.close()
        await eventually(async () => (await openOf(app)) === 0)
      }),
    ).toEqual({
      ...handed(1),
      'ara_messages_sent_total{target="user"}': 1,
      ara_ws_connections_opened_total: 1,
      ara_connections_per_user_count: 1,
      ara_connections_per_user_sum: 1,
      ara_ws_connections_closed_total: 1,
      ara_ws_connection_duration_seconds_count: 1,
      'ara_connection_closes_total{code="1000"}': 1,
    })
  })

  test('a receipt counts when the pong arrives, with the time since the write', async () => {
    const clock = createStoppedClock()
    await using app = await startTestApp(LOG_ON, { clock })
    using raw = await rawOf(app, 'u', { answerPings: false })
    raw.send(TEXT, '{"type":"Ping"}')
    await raw.next()
    await send(app, 'u', 1)
    await raw.next()
    const { payload } = await raw.frames.until(({ opcode }) => opcode === 9)
    clock.jump(0.2)
    const before = await scrape(app)
    expect(before.value('ara_receipt_latency_seconds_count')).toBe(0)
    raw.send(10, payload)
    await eventually(async () => (await scrape(app)).value('ara_receipt_latency_seconds_count') === 1)
    const after = await scrape(app)
    expect(after.value('ara_receipt_latency_seconds_sum')).toBeCloseTo(0.2, 6)
    expect(after.value('ara_receipt_latency_seconds_bucket{le="0.1"}')).toBe(0)
    expect(after.value('ara_receipt_latency_seconds_bucket{le="0.25"}')).toBe(1)
    // Unsolicited pongs do not count.
    raw.send(10, payload)
    raw.send(TEXT, '{"type":"Ping"}')
    await raw.next()
    expect((await scrape(app)).value('ara_receipt_latency_seconds_count')).toBe(1)
  })
})

describe('acknowledgements', () => {
  test('count as pending from the first delivery, once each, with the time until the acknowledgement', async () => {
    const clock = createStoppedClock()
    await using app = await startTestApp(
      { ...ACK_ON, ACK_TIMEOUT_SECONDS: '10', ACK_MAX_DELIVERIES: '2' },
      { clock },
    )
    using client = await socketOf(app, 'u')
    await settle(client)
    let id = ''
    expect(
      await effectOf(app, async () => {
        await send(app, 'u', 1)
        id = (await client.next()).id
        await eventually(async () => (await scrape(app)).value('ara_receipt_latency_seconds_count') === 1)
      }),
    ).toEqual({
      'ara_messages_sent_total{target="user"}': 1,
      ...handed(1),
      ara_ack_tracked_total: 1,
      ara_ack_pending: 1,
      ara_queue_size_total: 1,
      ara_queue_users_total: 1,
      ara_receipt_latency_seconds_count: 1,
    })
    clock.jump(2)
    const ack = async () => {
      client.send({ type: 'Ack', payload: { notification_id: id } })
      await client.nextOf('acked')
    }
    const before = await scrape(app)
    expect(await effectOf(app, ack)).toEqual({
      'ara_ws_messages_received_total{type="ack"}': 1,
      ara_ack_received_total: 1,
      ara_ack_pending: -1,
      ara_ack_latency_seconds_count: 1,
    })
    const after = await scrape(app)
    expect(
      after.value('ara_ack_latency_seconds_sum') - before.value('ara_ack_latency_seconds_sum'),
    ).toBeCloseTo(2, 6)
    expect(after.value('ara_ack_latency_seconds_bucket{le="1"}')).toBe(0)
    expect(await effectOf(app, ack)).toEqual({ 'ara_ws_messages_received_total{type="ack"}': 1 })
  })

  test('that are missing count as redelivered, then as expired', async () => {
    const clock = createStoppedClock()
    await using app = await startTestApp(
      { ...ACK_ON, ACK_TIMEOUT_SECONDS: '10', ACK_MAX_DELIVERIES: '2' },
      { clock },
    )
    using client = await socketOf(app, 'u')
    await settle(client)
    await send(app, 'u', 1)
    await client.next()
    expect(
      await effectOf(app, async () => {
        clock.jump(11)
        expect(await client.nextOf('notification')).toMatchObject({ redelivered: 1 })
      }),
    ).toMatchObject({ ara_ack_redelivered_total: 1, ara_messages_delivered_total: 1 })
    expect(
      await effectOf(app, async () => {
        clock.jump(11)
        await eventually(async () => (await scrape(app)).value('ara_ack_expired_total') === 1)
      }),
    ).toEqual({ ara_ack_expired_total: 1, ara_ack_pending: -1 })
  })
})

test('failed authentication counts by kind', async () => {
  await using app = await startTestApp({ TENANT_ENABLED: 'true', TENANT_API_KEYS: 'acme:key-of-acme' })
  const failures = async (act: () => Promise<unknown>) =>
    Object.entries(await changesBy(app, act)).filter(([series]) => series.includes('auth_failures'))
  const kind = (name: string): [string, number][] => [[`ara_auth_failures_total{kind="${name}"}`, 1]]
  expect(await failures(() => app.get('/stats', { 'x-api-key': 'wrong' }))).toEqual(kind('api_key'))
  expect(await failures(() => fetch(`${app.url}/stats`))).toEqual(kind('api_key'))
  expect(
    await failures(() => app.get('/stats', { 'x-api-key': 'key-of-acme', 'x-tenant-id': 'globex' })),
  ).toEqual(kind('api_key'))
  expect(await failures(() => app.get('/api/v1/me/notifications?token=x'))).toEqual(kind('jwt'))
  const token = await app.token('u')
  const before = Math.floor(Date.now() / 1000) + 60
  await app.post('/api/v1/users/u/disconnect', { issued_before: before })
  expect(await failures(() => app.get(`/ws?token=${token}`))).toEqual(kind('revoked'))
  expect(await failures(() => app.get('/stats'))).toEqual([])
})

test('requests count as allowed or denied by the rate limit', async () => {
  await using app = await startTestApp({ RATELIMIT_ENABLED: 'true', RATELIMIT_HTTP_BURST_SIZE: '2' })
  expect(await effectOf(app, () => app.get('/stats'))).toEqual({
    'ara_ratelimit_allowed_total{type="http"}': 1,
  })
  const denied = await effectOf(app, async () => {
    while ((await app.get('/stats')).status !== 429);
  })
  expect(denied['ara_ratelimit_denied_total{type="http"}']).toBe(1)
})

describe('the store', () => {
  const AT = '/api/v1/templates'
  const template = { id: 't', name: 'T', event_type: 'e', payload_template: 1 }
  const operations = async (app: TestApp, act: () => Promise<unknown>) =>
    Object.entries(await changesBy(app, act)).filter(([series]) => series.startsWith('ara_store_'))
  const took = (operation: string, count = 1): [string, number] => [
    `ara_store_operation_seconds_count{op="${operation}"}`,
    count,
  ]

  test('is timed by operation', async () => {
    await using app = await startTestApp(ACK_ON)
    expect(await operations(app, () => send(app, 'u', 1))).toEqual([took('append')])
    expect(await operations(app, () => app.get('/api/v1/users/u/notifications'))).toEqual([
      took('read', expect.any(Number)),
    ])
    expect(await operations(app, () => app.post(AT, template))).toEqual([took('template')])
    expect(await operations(app, () => app.get(`${AT}/t`))).toEqual([took('template')])
    using client = await socketOf(app, 'u')
    const { id } = await client.next()
    expect(
      await operations(app, async () => {
        client.send({ type: 'Ack', payload: { notification_id: id } })
        await client.nextOf('acked')
      }),
    ).toEqual([took('ack')])
    expect(await operations(app, () => app.get('/stats'))).toEqual([])
  })

  test('counts failed operations and times them too', async () => {
    const fail = () => Promise.reject(new StoreAway('away'))
    const wrapStore = (store: Store): Store => ({
      ...store,
      log: { ...store.log, append: fail },
      templates: { ...store.templates, list: fail },
    })
    await using app = await startTestApp(LOG_ON, { wrapStore })
    const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
    expect(await operations(app, () => app.post('/api/v1/notifications/send', body))).toEqual([
      took('append'),
      ['ara_store_errors_total{op="append"}', 1],
    ])
    expect(await operations(app, () => app.get(AT))).toEqual([
      took('template'),
      ['ara_store_errors_total{op="template"}', 1],
    ])
  })
})

test('an unhandled error is counted', async () => {
  const list = () => {
    throw new Error('broken')
  }
  await using app = await startTestApp(
    {},
    { wrapStore: store => ({ ...store, templates: { ...store.templates, list } }) },
  )
  expect(await effectOf(app, () => app.get('/api/v1/templates'))).toEqual({ ara_unhandled_errors_total: 1 })
})

test('the counters add up to the frames that clients read: live, replayed, redelivered and to crowds', async () => {
  const clock = createStoppedClock()
  await using app = await startTestApp(
    {
      ...ACK_ON,
      ACK_TIMEOUT_SECONDS: '10',
      ACK_MAX_DELIVERIES: '10',
      WEBSOCKET_HEARTBEAT_INTERVAL: '3600',
      WEBSOCKET_CONNECTION_TIMEOUT: '7200',
    },
    { clock },
  )
  const users = ['a', 'b', 'c', 'd']
  for (const n of [1, 2, 3]) await sendToUsers(app, users, n)
  const sockets = await Promise.all(
    users.flatMap(user => [socketOf(app, user), socketOf(app, user, { cursor: '' })]),
  )
  const stream = await streamOf(app, 'a', { cursor: '' })
  for (const socket of sockets) {
    await subscribe(socket, 'x', 'y')
    await settle(socket)
  }
  await Promise.all(
    users.flatMap(user => [
      send(app, user, 4),
      publish(app, 'x', 5),
      broadcast(app, 6),
      app.post('/api/v1/notifications/channels', { channels: ['x', 'y'], event_type: 'e', payload: 7 }),
      send(app, user, 8, { ttl: 0 }),
    ]),
  )
  clock.jump(11)
  const redelivered = () =>
    sockets.reduce((sum, { inbox }) => sum + inbox.all.filter(message => 'redelivered' in message).length, 0)
  // Four entries of each user, on two sockets.
  await eventually(() => redelivered() === 32)
  for (const socket of sockets) await settle(socket)
  const seen = await scrape(app)
  const delivered = seen.value('ara_messages_delivered_total')
  await eventually(() => framesOf(...sockets, stream) === delivered)
  // A stream gets 3 by replay, 3 live, each sender's broadcasts and no redelivery.
  expect(seen.value('ara_message_delivery_latency_seconds_count')).toBe(
    delivered - seen.value('ara_queue_replayed_total') - redelivered(),
  )
  expect(seen.value('ara_queue_replayed_total')).toBe(27)
  expect(seen.value('ara_ack_redelivered_total')).toBe(16)
  const tracked = seen.value('ara_ack_tracked_total')
  expect(tracked).toBe(
    seen.value('ara_ack_received_total') +
      seen.value('ara_ack_expired_total') +
      seen.value('ara_ack_pending'),
  )
  stream.close()
  for (const socket of sockets) socket.close()
  await eventually(async () => (await openOf(app)) === 0)
  const after = await scrape(app)
  expect(after.value('ara_ws_connections_opened_total')).toBe(9)
  expect(after.value('ara_ws_connections_closed_total')).toBe(9)
  expect([
    after.value('ara_connection_closes_total{code="1000"}'),
    after.value('ara_connection_closes_total{code="sse"}'),
  ]).toEqual([8, 1])
})
