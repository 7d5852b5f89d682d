import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { StoreAway } from '../../src/errors.ts'
import type { Store, Totals } from '../../src/store/store.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { labelsOf, readExposition } from '../support/exposition.ts'
import { changesBy, scrape } from '../support/metrics.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { eventually, publish, send, socketOf } from '../support/visit.ts'

const FAST = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]
const HTTP = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
const CLOSES = '1000 1001 1002 1006 1007 1008 1009 1012 1013 4401 4403 4408 sse other'
const REASONS =
  'invalid_json invalid_shape unknown_type invalid_target unknown_template variables too_large tenant store'
const OPERATIONS = 'append read ack template idempotency'

type Expected = readonly [type: 'counter' | 'gauge' | 'histogram', ...more: readonly unknown[]]

/** All documented metrics: type, buckets, label, and label values that exist from the start. */
const PROMISED: Readonly<Record<string, Expected>> = {
  ara_connections_total: ['gauge'],
  ara_users_connected: ['gauge'],
  ara_connections_per_user: ['histogram', [1, 2, 3, 4, 5, 10]],
  ara_channel_subscriptions: ['gauge', 'channel', ''],
  ara_channels_active: ['gauge'],
  ara_messages_sent_total: ['counter', 'target', 'user users broadcast channel channels'],
  ara_messages_delivered_total: ['counter'],
  ara_messages_failed_total: ['counter'],
  ara_message_delivery_latency_seconds: ['histogram', FAST],
  ara_redis_connection_status: ['gauge'],
  ara_redis_circuit_breaker_state: ['gauge'],
  ara_redis_reconnections_total: ['counter'],
  ara_redis_messages_received_total: ['counter'],
  ara_redis_messages_rejected_total: ['counter', 'reason', REASONS],
  ara_redis_stream_messages_total: ['counter', 'result', 'accepted retried dead'],
  ara_redis_stream_pending: ['gauge'],
  ara_queue_size_total: ['gauge'],
  ara_queue_users_total: ['gauge'],
  ara_queue_enqueued_total: ['counter'],
  ara_queue_replayed_total: ['counter'],
  ara_queue_expired_total: ['counter'],
  ara_queue_dropped_total: ['counter'],
  ara_resume_total: ['counter', 'outcome', 'none recovered epoch_changed trimmed'],
  ara_ratelimit_allowed_total: ['counter', 'type', 'http ws'],
  ara_ratelimit_denied_total: ['counter', 'type', 'http ws'],
  ara_ws_messages_limited_total: ['counter'],
  ara_ack_tracked_total: ['counter'],
  ara_ack_received_total: ['counter'],
  ara_ack_expired_total: ['counter'],
  ara_ack_pending: ['gauge'],
  ara_ack_latency_seconds: ['histogram', [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]],
  ara_ack_redelivered_total: ['counter'],
  ara_receipt_latency_seconds: ['histogram', FAST],
  ara_http_requests_total: ['counter', 'method path status', ''],
  ara_http_request_latency_seconds: ['histogram', HTTP, 'method path', ''],
  ara_ws_connections_opened_total: ['counter'],
  ara_ws_connections_closed_total: ['counter'],
  ara_ws_messages_received_total: ['counter', 'type', 'subscribe unsubscribe ping ack auth'],
  ara_ws_connection_duration_seconds: ['histogram', [1, 5, 10, 30, 60, 300, 600, 1800, 3600]],
  ara_connections_open: ['gauge', 'transport', 'ws sse'],
  ara_connection_closes_total: ['counter', 'code', CLOSES],
  ara_connections_refused_total: ['counter', 'reason', 'total user tenant rate origin token draining'],
  ara_slow_consumers_total: ['counter'],
  ara_auth_failures_total: ['counter', 'kind', 'api_key jwt revoked origin metrics'],
  ara_batch_requests_total: ['counter'],
  ara_batch_size: ['histogram', [1, 5, 10, 25, 50, 75, 100]],
  ara_idempotency_total: ['counter', 'result', 'new replayed conflict in_progress'],
  ara_store_up: ['gauge'],
  ara_store_bytes: ['gauge'],
  ara_store_max_bytes: ['gauge'],
  ara_bus_up: ['gauge'],
  ara_store_operation_seconds: ['histogram', FAST, 'op', OPERATIONS],
  ara_store_errors_total: ['counter', 'op', OPERATIONS],
  ara_bus_messages_total: ['counter', 'direction', 'in out'],
  ara_bus_answer_timeouts_total: ['counter'],
  ara_cluster_nodes: ['gauge'],
  ara_event_loop_lag_seconds: ['gauge'],
  ara_unhandled_errors_total: ['counter'],
  ara_log_lines_dropped_total: ['counter'],
  ara_draining: ['gauge'],
  ara_worker_up: ['gauge', 'worker', '1'],
  ara_worker_restarts_total: ['counter'],
  ara_build_info: ['gauge', 'version node', ''],
  process_cpu_user_seconds_total: ['counter'],
  process_cpu_system_seconds_total: ['counter'],
  process_cpu_seconds_total: ['counter'],
  process_resident_memory_bytes: ['gauge'],
  process_virtual_memory_bytes: ['gauge'],
  process_heap_bytes: ['gauge'],
  process_open_fds: ['gauge'],
  process_max_fds: ['gauge'],
  process_start_time_seconds: ['gauge'],
}

/** Metrics that are not 0 at the start. */
const SPEAKING =
  /^(process_|ara_build_info|ara_(store|bus|worker)_up|ara_cluster_nodes|ara_event_loop_lag_seconds)/

const PAGE = 'docs/METRICS.md'

describe('the metrics', () => {
  test('of a fresh server have every name and type, at 0 for each known label', async () => {
    await using app = await startTestApp()
    const { families } = await scrape(app)
    expect([...families.keys()].sort()).toEqual(Object.keys(PROMISED).sort())
    for (const [name, [type, ...more]] of Object.entries(PROMISED)) {
      const family = families.get(name)
      expect([name, family?.type]).toEqual([name, type])
      const buckets = type === 'histogram' ? [...(more.shift() as readonly number[]), Infinity] : []
      const [label, values = ''] = more as string[]
      const there = [...(family?.samples ?? [])].map(([sample, value]) => ({
        labels: labelsOf(sample),
        value,
      }))
      const bounds = new Set(there.flatMap(({ labels: { le } }) => (le === undefined ? [] : [le])))
      const isEmpty = label !== undefined && values === '' && name !== 'ara_build_info'
      expect([name, ...[...bounds].map(le => Number(le.replace('+Inf', 'Infinity')))]).toEqual([
        name,
        ...(isEmpty ? [] : buckets),
      ])
      if (label !== undefined && values !== '')
        expect([...new Set(there.map(({ labels }) => labels[label]))].sort()).toEqual(
          values.split(' ').sort(),
        )
      if (isEmpty) expect([name, there]).toEqual([name, []])
      else if (!SPEAKING.test(name))
        expect([name, there.every(({ value }) => value === 0)]).toEqual([name, true])
    }
  })

  test(`are exactly those of ${PAGE}: name, type, labels, buckets and help`, async () => {
    await using app = await startTestApp({ METRICS_CHANNEL_LIMIT: '1' })
    using client = await socketOf(app, 'u')
    client.send({ type: 'Subscribe', payload: { channels: ['orders'] } })
    await client.nextOf('subscribed')
    const { families } = await scrape(app)
    const rows = (await Bun.file(PAGE).text())
      .split('\n')
      .filter(line => line.startsWith('| `'))
      .map(line =>
        line
          .split(/(?<!\\)\|/)
          .slice(1, -1)
          .map(text => text.trim().replaceAll('\\|', '|')),
      )
    expect(rows.length).toBe(families.size)
    for (const [code = '', type, labels = '', buckets = '', help] of rows) {
      const name = code.replaceAll('`', '')
      const family = families.get(name)
      expect([name, family?.type, family?.help]).toEqual([name, type, help])
      const all = [...(family?.samples.keys() ?? [])].map(labelsOf)
      const documented = labels
        .split('; ')
        .filter(text => text !== '')
        .map(text => text.split('`')[1] ?? '')
      const used = new Set(all.flatMap(each => Object.keys(each)).filter(label => label !== 'le'))
      expect([name, ...[...used].sort()]).toEqual([name, ...documented.sort()])
      const bounds = new Set(all.flatMap(({ le }) => (le === undefined || le === '+Inf' ? [] : [le])))
      expect([name, [...bounds].join(', ')]).toEqual([name, buckets])
    }
  })

  test('describe this process and build', async () => {
    await using app = await startTestApp({ NODE_ID: 'node-7' })
    const seen = await scrape(app)
    expect(seen.value('ara_build_info{version="0.0.0-test",node="node-7"}')).toBe(1)
    expect(seen.value('ara_store_up')).toBe(1)
    expect(seen.value('ara_bus_up')).toBe(1)
    expect(seen.value('ara_cluster_nodes')).toBe(1)
    const rss = seen.value('process_resident_memory_bytes')
    expect(rss / process.memoryUsage.rss()).toBeWithin(0.5, 2)
    expect(seen.value('process_virtual_memory_bytes')).toBeGreaterThan(rss)
    expect(seen.value('process_heap_bytes')).toBeGreaterThan(0)
    expect(seen.value('process_start_time_seconds')).toBeWithin(Date.now() / 1000 - 3600, Date.now() / 1000)
    expect(seen.value('process_max_fds')).toBeGreaterThan(seen.value('process_open_fds'))
    const cpu = seen.value('process_cpu_seconds_total')
    expect(cpu).toBeCloseTo(
      seen.value('process_cpu_user_seconds_total') + seen.value('process_cpu_system_seconds_total'),
      6,
    )
    expect(cpu).toBeGreaterThan(0)
  })

  test('count open file descriptors', async () => {
    await using app = await startTestApp()
    const before = (await scrape(app)).value('process_open_fds')
    const sockets = await Promise.all(Array.from({ length: 50 }, (_, n) => socketOf(app, `u${n}`)))
    // Both ends of each connection are in this process. Descriptors of earlier tests may still be closed.
    expect((await scrape(app)).value('process_open_fds') - before).toBeWithin(70, 120)
    for (const socket of sockets) socket.close()
  })

  test('show a blocked event loop afterwards', async () => {
    await using app = await startTestApp()
    const lag = async () => (await scrape(app)).value('ara_event_loop_lag_seconds')
    // The metric remembers stalls for a while, and a busy machine may have caused one.
    const before = await lag()
    const until = performance.now() + 1_000 * before + 400
    while (performance.now() < until);
    expect(await lag()).toBeWithin(before + 0.25, before + 5)
  })

  test('of two servers in one process are separate', async () => {
    await using one = await startTestApp()
    await using other = await startTestApp()
    await send(one, 'u', 1)
    const series = 'ara_messages_sent_total{target="user"}'
    expect([(await scrape(one)).value(series), (await scrape(other)).value(series)]).toEqual([1, 0])
  })
})

describe('GET /metrics', () => {
  test('answers with the media type of Prometheus, without a key if METRICS_KEY is unset', async () => {
    await using app = await startTestApp()
    const response = await fetch(`${app.url}/metrics`)
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ])
    expect(readExposition(await response.text()).size).toBe(Object.keys(PROMISED).length)
    const head = await fetch(`${app.url}/metrics`, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-type'), await head.text()]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      '',
    ])
    expect((await app.post('/metrics', {})).status).toBe(405)
  })

  test('with METRICS_KEY accepts that key in either header, and no API key', async () => {
    const key = 'a-key-for-scrapes-äöü-0123'
    const shown = Buffer.from(key).toString('latin1')
    await using app = await startTestApp({ METRICS_KEY: key })
    const ask = async (headers: Record<string, string>, method = 'GET') => {
      const response = await fetch(`${app.url}/metrics`, { method, headers })
      return { response, text: await response.text() }
    }
    for (const headers of [
      { 'x-api-key': shown },
      { authorization: `Bearer ${shown}` },
      { 'x-api-key': API_KEY, authorization: `Bearer ${shown}` },
      { 'x-api-key': shown, authorization: 'Basic abc' },
    ]) {
      expect((await ask(headers)).response.status).toBe(200)
      expect((await ask(headers, 'HEAD')).response.status).toBe(200)
    }
    const wrong = [
      {},
      { 'x-api-key': API_KEY },
      { 'x-api-key': '' },
      { 'x-api-key': shown.slice(1) },
      { 'x-api-key': `${shown}x` },
      { authorization: shown },
      { authorization: `Basic ${shown}` },
      { authorization: `Bearer ${API_KEY}` },
      { authorization: 'Bearer' },
      { cookie: `key=${shown}` },
    ]
    for (const headers of wrong) {
      const { response, text } = await ask(headers)
      expect([headers, response.status, response.headers.get('www-authenticate')]).toEqual([
        headers,
        401,
        'Bearer',
      ])
      expect(JSON.parse(text).error.code).toBe('UNAUTHORIZED')
      expect(text).not.toContain(key)
    }
    expect((await ask({}, 'HEAD')).response.status).toBe(401)
    const { text } = await ask({ 'x-api-key': shown })
    const samples = readExposition(text).get('ara_auth_failures_total')?.samples
    expect(samples?.get('ara_auth_failures_total{kind="metrics"}')).toBe(wrong.length + 1)
    expect(samples?.get('ara_auth_failures_total{kind="api_key"}')).toBe(0)
    const refusals = app.lines.filter(({ event }) => event === 'auth.refused')
    expect(refusals[0]).toMatchObject({ kind: 'metrics', reason: 'no key' })
    expect(refusals[1]).toMatchObject({ kind: 'metrics', reason: 'wrong key' })
    expect(JSON.stringify(app.lines)).not.toContain(key)
    expect((await app.get('/stats', { 'x-api-key': shown })).status).toBe(401)
  })

  test('is never charged and carries no rate limit headers, not even with a wrong key', async () => {
    await using app = await startTestApp({
      METRICS_KEY: 'a-key-for-scrapes',
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
      RATELIMIT_HTTP_BURST_SIZE: '1',
    })
    for (let n = 0; n < 5; n++) {
      const wrong = await fetch(`${app.url}/metrics`)
      expect([wrong.status, wrong.headers.get('x-ratelimit-limit')]).toEqual([401, null])
      const right = await fetch(`${app.url}/metrics`, { headers: { 'x-api-key': 'a-key-for-scrapes' } })
      expect([right.status, right.headers.get('x-ratelimit-limit')]).toEqual([200, null])
    }
    expect((await app.get('/stats')).status).toBe(200)
  })

  test('answers many scrapes at the same time', async () => {
    await using app = await startTestApp()
    const all = await Promise.all(Array.from({ length: 20 }, () => scrape(app)))
    expect(new Set(all.map(({ families }) => families.size)).size).toBe(1)
  })

  test('includes everything that happened before the request', async () => {
    await using app = await startTestApp()
    for (let n = 1; n <= 20; n++) {
      const earlier = awaitedLater(scrape(app))
      await send(app, 'u', n)
      expect((await scrape(app)).value('ara_messages_sent_total{target="user"}')).toBe(n)
      await earlier
    }
  })
})

/** Invented methods, paths, headers and names. */
async function visitStrangely(app: TestApp, n: number): Promise<void> {
  const headers = { 'x-api-key': n % 2 === 0 ? API_KEY : `made-up-${n}` }
  for (const path of [
    `/made-up-${n}`,
    `/metrics/${n}`,
    `/api/v1/notifications/made-up-${n}`,
    `/api/v1/channels/c-${n}`,
    `/api/v1/users/u-${n}/presence`,
    `/api/v1/templates/t-${n}`,
    `/stats?x=${n}`,
  ])
    await (await fetch(app.url + path, { headers })).text()
  for (const method of ['PROPFIND', 'PURGE', 'TRACE', 'REPORT', 'LINK']) {
    using exchange = await exchangeRaw(app.port, [`${method} /x${n} HTTP/1.1`, 'Connection: close'])
    await exchange.closed
  }
  using client = await socketOf(app, `user-${n}`, { claims: { tenant_id: `tenant-${n}` } })
  client.send({ type: 'Subscribe', payload: { channels: [`channel-${n}`] } })
  client.send({ type: `Made-up-${n}` })
  await client.nextOf('error')
  await publish(app, `channel-${n}`, n)
  await send(app, `user-${n}`, n, { event_type: `event-${n}`, correlation_id: `id-${n}` })
}

test('invented values of callers and clients add no series', async () => {
  await using app = await startTestApp({ QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' })
  for (const n of [0, 1]) await visitStrangely(app, n)
  await scrape(app)
  const { series } = await scrape(app)
  for (let n = 2; n < 12; n++) await visitStrangely(app, n)
  const after = await scrape(app)
  expect(after.series).toEqual([...series])
  for (const [method, path] of [
    ['GET', 'unmatched'],
    ['TRACE', 'unmatched'],
    ['OTHER', 'unmatched'],
    ['GET', '/api/v1/notifications/{id}'],
    ['GET', '/api/v1/users/{user_id}/presence'],
  ])
    expect(
      after.value(`ara_http_request_latency_seconds_count{method="${method}",path="${path}"}`),
    ).toBeGreaterThan(0)
  expect(after.series.filter(each => /made-up|x1|user-|channel-|tenant-|event-/.test(each))).toEqual([])
})

describe('series of channels', () => {
  const subscribe = async (app: TestApp, user: string, channels: readonly string[], tenant?: string) => {
    const client = await socketOf(app, user, tenant === undefined ? {} : { claims: { tenant_id: tenant } })
    client.send({ type: 'Subscribe', payload: { channels } })
    await client.nextOf('subscribed')
    return client
  }
  const named = async (app: TestApp) =>
    Object.fromEntries((await scrape(app)).families.get('ara_channel_subscriptions')?.samples ?? [])
  const series = (name: string) => `ara_channel_subscriptions{channel="${name}"}`

  test('are absent unless METRICS_CHANNEL_LIMIT allows them', async () => {
    await using app = await startTestApp()
    using _client = await subscribe(app, 'u', ['orders'])
    expect(await named(app)).toEqual({})
    expect((await scrape(app)).value('ara_channels_active')).toBe(1)
  })

  test('are those of the largest channels of all tenants, without empty ones', async () => {
    await using app = await startTestApp({ METRICS_CHANNEL_LIMIT: '3', TENANT_ENABLED: 'true' })
    using a = await subscribe(app, 'a', ['big', 'middle', 'small'])
    using _b = await subscribe(app, 'b', ['big', 'middle', 'ключ'])
    using _c = await subscribe(app, 'c', ['big'])
    using d = await subscribe(app, 'd', ['big', 'own'], 'acme')
    using _e = await subscribe(app, 'e', ['big'], 'acme')
    expect(await named(app)).toEqual({ [series('big')]: 3, [series('middle')]: 2, [series('acme:big')]: 2 })
    a.send({ type: 'Unsubscribe', payload: { channels: ['middle'] } })
    await a.nextOf('unsubscribed')
    d.close()
    await d.closed
    await eventually(async () => (await scrape(app)).value('ara_connections_total') === 4)
    const left = await named(app)
    expect(left[series('big')]).toBe(3)
    expect(Object.values(left)).toEqual([3, 1, 1])
    expect((await scrape(app)).value('ara_channels_active')).toBe(5)
  })

  test('keep channel names of any script', async () => {
    await using app = await startTestApp({ METRICS_CHANNEL_LIMIT: '10' })
    using _client = await subscribe(app, 'u', ['通知', '__proto__', 'a.b-c_1'])
    expect(Object.keys(await named(app)).sort()).toEqual(['通知', '__proto__', 'a.b-c_1'].map(series).sort())
  })
})

describe('an unavailable store', () => {
  const LOG: Environment = { QUEUE_ENABLED: 'true' }
  /** A store whose state the test controls. */
  function brittle() {
    const state = {
      up: true,
      totals: async (real: () => Promise<Totals>) => real(),
    }
    const wrapStore = (store: Store): Store => ({
      ...store,
      isUp: () => state.up,
      log: { ...store.log, totals: () => state.totals(store.log.totals) },
    })
    return { state, wrapStore }
  }

  test('appears in the metrics with its last known sizes, and delays no scrape', async () => {
    const { state, wrapStore } = brittle()
    await using app = await startTestApp(LOG, { wrapStore })
    for (const user of ['u', 'u', 'v']) await send(app, user, 1)
    const known = async () => {
      const seen = await scrape(app)
      return ['ara_store_up', 'ara_queue_size_total', 'ara_queue_users_total'].map(seen.value)
    }
    expect(await known()).toEqual([1, 3, 2])
    await send(app, 'w', 1)
    state.totals = () => Promise.reject(new StoreAway('away'))
    expect(await known()).toEqual([1, 3, 2])
    const stuck = Promise.withResolvers<Totals>()
    state.totals = () => stuck.promise
    expect(await known()).toEqual([1, 3, 2])
    expect(await known()).toEqual([1, 3, 2])
    expect((await app.get('/health')).json.queue.total_messages).toBe(3)
    state.up = false
    expect(await known()).toEqual([0, 3, 2])
    state.up = true
    state.totals = real => real()
    stuck.resolve({ messages: 5, users: 4, bytes: 0 })
    await eventually(async () => String(await known()) === '1,4,3')
  })

  test('is logged once when it fails and once when it recovers', async () => {
    const { state, wrapStore } = brittle()
    await using app = await startTestApp(LOG, { wrapStore })
    const told = () =>
      app.lines.filter(({ event }) => String(event).startsWith('store.')).map(({ event }) => event)
    for (let n = 1; n <= 2; n++) {
      state.up = false
      await eventually(() => told().length === 2 * n - 1)
      await scrape(app)
      state.up = true
      await eventually(() => told().length === 2 * n)
    }
    expect(told()).toEqual(['store.lost', 'store.recovered', 'store.lost', 'store.recovered'])
  })
})

test('requests are counted by route, method and status, whatever their outcome', async () => {
  await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
  const requests = (changes: Record<string, number>) =>
    Object.fromEntries(
      Object.entries(changes)
        .filter(([series]) => series.startsWith('ara_http_requests_total'))
        .map(([series, change]) => {
          const { method, path, status } = labelsOf(series)
          return [`${method} ${path} ${status}`, change]
        }),
    )
  const changes = await changesBy(app, async () => {
    await app.get('/api/v1/channels')
    await app.get('/api/v1/channels')
    await app.get('/api/v1/channels/none')
    await app.get('/api/v1/channels', { 'x-api-key': 'wrong' })
    await app.post('/api/v1/channels', {})
    await fetch(`${app.url}/api/v1/channels`, { method: 'OPTIONS' })
    await fetch(`${app.url}/api/v1/channels`, { method: 'HEAD', headers: { 'x-api-key': API_KEY } })
    await fetch(`${app.url}/nowhere`, { method: 'OPTIONS' })
    await app.post('/api/v1/notifications/send', '{')
    await app.post('/api/v1/notifications/send', {})
    await app.post('/api/v1/notifications/send', { target_user_id: 'u', event_type: 'e', payload: 1 })
    await app.get('/api/v1/notifications/send')
    await app.get('/ws')
    await app.get(`/ws?token=${await app.token('u')}`)
    await fetch(`${app.url}/sse`)
    const abort = new AbortController()
    await fetch(`${app.url}/sse?token=${await app.token('u')}`, { signal: abort.signal })
    abort.abort()
    using _socket = await socketOf(app, 'u')
  })
  expect(requests(changes)).toEqual({
    'GET /api/v1/channels 200': 2,
    'GET /api/v1/channels/{name} 404': 1,
    'GET /api/v1/channels 401': 1,
    'POST /api/v1/channels 405': 1,
    'OPTIONS /api/v1/channels 200': 1,
    'HEAD /api/v1/channels 200': 1,
    'OPTIONS unmatched 200': 1,
    'POST /api/v1/notifications/send 400': 1,
    'POST /api/v1/notifications/send 422': 1,
    'POST /api/v1/notifications/send 200': 1,
    'GET /api/v1/notifications/send 405': 1,
    'GET /ws 401': 1,
    'GET /ws 426': 1,
    'GET /ws 101': 1,
    'GET /sse 401': 1,
    'GET /sse 200': 1,
  })
  const latencies = Object.entries(changes).filter(([series]) =>
    series.startsWith('ara_http_request_latency_seconds_count'),
  )
  expect(latencies.reduce((sum, [, change]) => sum + change, 0)).toBe(17)
})

test('concurrent requests are counted on their own routes, in any order of answers', async () => {
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
  await using app = await startTestApp({ QUEUE_ENABLED: 'true' }, { wrapStore })
  const changes = await changesBy(app, async () => {
    const slow = awaitedLater(Array.from({ length: 10 }, (_, n) => send(app, `u${n}`, n)))
    await asked.promise
    await Promise.all(
      Array.from({ length: 30 }, (_, n) => [
        app.get('/stats'),
        app.get(`/made-up-${n}`),
        app.get(`/api/v1/users/u${n}/presence`),
      ]).flat(),
    )
    gate.resolve()
    await Promise.all(slow)
  })
  for (const [labels, count] of [
    ['method="POST",path="/api/v1/notifications/send",status="200"', 10],
    ['method="GET",path="/stats",status="200"', 30],
    ['method="GET",path="unmatched",status="404"', 30],
    ['method="GET",path="/api/v1/users/{user_id}/presence",status="200"', 30],
  ] as const)
    expect([labels, changes[`ara_http_requests_total{${labels}}`]]).toEqual([labels, count])
})
