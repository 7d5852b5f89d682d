import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { startCollector } from '../support/collector.ts'
import { only, told, tracedBy, tracesOf } from '../support/traced.ts'
import { send, socketOf, streamOf } from '../support/visit.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const SEND = '/api/v1/notifications/send'
const BODY = { target_user_id: 'u', event_type: 'e', payload: 1 }
const POST_SEND = `HTTP POST ${SEND}`

const sendWith = (app: TestApp, headers: Record<string, string>) => app.post(SEND, BODY, headers)

test('a send is a request, the dispatch in it and the append in that', async () => {
  let id = ''
  const spans = await tracesOf(
    async app => {
      id = (await send(app, 'u', 1, { priority: 'High' })).notification_id
    },
    { QUEUE_ENABLED: 'true' },
  )
  const [request, dispatch, append] = [
    only(spans, POST_SEND),
    only(spans, 'dispatch'),
    only(spans, 'store.append'),
  ]
  expect(spans).toHaveLength(3)
  expect([request, dispatch, append].map(told)).toEqual([
    {
      name: POST_SEND,
      kind: 'server',
      failed: false,
      attributes: {
        'http.request.method': 'POST',
        'http.route': SEND,
        'http.response.status_code': 200,
        'url.path': SEND,
        'url.scheme': 'http',
        'ara.tenant': 'default',
      },
    },
    {
      name: 'dispatch',
      kind: 'internal',
      failed: false,
      attributes: {
        'ara.notification_id': id,
        'ara.target': 'user',
        'ara.event_type': 'e',
        'ara.priority': 'High',
        'ara.delivered_to': 0,
        'ara.queued': 1,
        'ara.status': 'queued',
      },
    },
    {
      name: 'store.append',
      kind: 'client',
      failed: false,
      attributes: { 'ara.store': 'memory', 'ara.entries': 1 },
    },
  ])
  expect([request.parentId, dispatch.parentId, append.parentId]).toEqual([
    '',
    request.spanId,
    dispatch.spanId,
  ])
  expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1)
})

test('every span names the service', async () => {
  const spans = await tracesOf(app => send(app, 'u', 1), {
    NODE_ID: 'n7',
    OTEL_SERVICE_NAME: 'notify',
  })
  for (const { resource } of spans)
    expect(resource).toMatchObject({
      'service.name': 'notify',
      'service.version': '0.0.0-test',
      'service.instance.id': 'n7',
    })
  expect(spans.length).toBeGreaterThan(0)
})

describe('the parent of a request', () => {
  test('is the one in its headers', async () => {
    const spans = await tracesOf(app =>
      sendWith(app, { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'acme=7,other=x' }),
    )
    const request = only(spans, POST_SEND)
    expect([request.traceId, request.parentId, request.traceState]).toEqual([TRACE, SPAN, 'acme=7,other=x'])
    expect(only(spans, 'dispatch')).toMatchObject({ traceId: TRACE, parentId: request.spanId })
  })

  const MALFORMED: readonly Record<string, string>[] = [
    { traceparent: 'no such trace' },
    { traceparent: `00-${TRACE}-${SPAN}-01-more` },
    { traceparent: `00-${'0'.repeat(32)}-${SPAN}-01` },
    { traceparent: '', tracestate: 'acme=7' },
    { tracestate: 'acme=7' },
  ]
  for (const headers of MALFORMED)
    test(`is none, and nothing is refused, with ${JSON.stringify(headers)}`, async () => {
      const spans = await tracesOf(async app => {
        expect((await sendWith(app, headers)).status).toBe(200)
      })
      const request = only(spans, POST_SEND)
      expect([request.parentId, request.traceState]).toEqual(['', ''])
      expect(request.traceId).not.toBe(TRACE)
    })

  test('is used without its state if the state is malformed or too long', async () => {
    for (const tracestate of ['=', 'a'.repeat(10_000)]) {
      const spans = await tracesOf(app =>
        sendWith(app, { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate }),
      )
      expect(only(spans, POST_SEND)).toMatchObject({ traceId: TRACE, parentId: SPAN, traceState: '' })
    }
  })
})

describe('sampling', () => {
  const ROWS: readonly (readonly [ratio: string, flag: '01' | '00' | undefined, sent: boolean])[] = [
    ['1.0', undefined, true],
    ['7', undefined, true],
    ['0', undefined, false],
    ['-1', undefined, false],
    ['0', '01', true],
    ['1', '00', false],
  ]
  for (const [ratio, flag, isSent] of ROWS)
    test(`at a ratio of ${ratio} ${flag === undefined ? 'of a trace begun here' : `of a trace with flags ${flag}`}: ${isSent ? 'all' : 'nothing'}`, async () => {
      const spans = await tracesOf(
        app => sendWith(app, flag === undefined ? {} : { traceparent: `00-${TRACE}-${SPAN}-${flag}` }),
        { OTEL_SAMPLING_RATIO: ratio, QUEUE_ENABLED: 'true' },
      )
      expect(spans.map(({ name }) => name).sort()).toEqual(
        isSent ? [POST_SEND, 'dispatch', 'store.append'] : [],
      )
    })

  test('at a ratio in between: whole traces or none of their spans', async () => {
    const spans = await tracesOf(
      async app => {
        for (let n = 0; n < 200; n++) await send(app, 'u', n)
      },
      { OTEL_SAMPLING_RATIO: '0.5', QUEUE_ENABLED: 'true' },
    )
    const traces = Map.groupBy(spans, ({ traceId }) => traceId)
    expect([...traces.values()].map(each => each.length)).toEqual(Array(traces.size).fill(3))
    // 200 coin tosses: fewer than one run in 10^9 is outside.
    expect(traces.size).toBeWithin(58, 143)
  })
})

describe('the name of a request', () => {
  test('is its method and its route pattern, for any path', async () => {
    const spans = await tracesOf(async app => {
      await app.get('/api/v1/users/a%20b/presence?q=1')
      await app.get('/nowhere/at/all')
      await fetch(`${app.url}${SEND}`, { method: 'PROPFIND' })
      await fetch(app.url + SEND, { method: 'OPTIONS' })
    })
    expect(
      spans.map(({ name, attributes }) => [name, attributes['http.route'], attributes['url.path']]),
    ).toEqual([
      [
        'HTTP GET /api/v1/users/{user_id}/presence',
        '/api/v1/users/{user_id}/presence',
        '/api/v1/users/a%20b/presence',
      ],
      ['HTTP GET unmatched', undefined, undefined],
      [`HTTP OTHER ${SEND}`, SEND, SEND],
      [`HTTP OPTIONS ${SEND}`, SEND, SEND],
    ])
    expect(spans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([
      200, 404, 405, 200,
    ])
    expect(spans.map(({ failed }) => failed)).toEqual([false, false, false, false])
  })

  test('does not exist for health checks and scrapes', async () => {
    const spans = await tracesOf(async app => {
      for (const path of ['/health', '/health/live', '/health/ready', '/metrics']) await fetch(app.url + path)
      await app.get('/stats')
    })
    expect(spans.map(({ name }) => name)).toEqual(['HTTP GET /stats'])
  })
})

describe('the tenant of a request', () => {
  test('comes from its key or header, or from its token', async () => {
    const claims = { tenant_id: 'globex' }
    const spans = await tracesOf(
      async app => {
        await app.get('/stats', { 'x-tenant-id': 'acme' })
        using _ = await socketOf(app, 'u', { claims })
        using __ = await streamOf(app, 'u', { claims })
        const authorization = `Bearer ${await app.token('u', claims)}`
        await fetch(`${app.url}/api/v1/me/notifications`, { headers: { authorization } })
      },
      { TENANT_ENABLED: 'true' },
    )
    expect(
      spans.map(({ name, attributes }) => [
        name,
        attributes['ara.tenant'],
        attributes['http.response.status_code'],
      ]),
    ).toEqual([
      ['HTTP GET /stats', 'acme', 200],
      ['HTTP GET /ws', 'globex', 101],
      ['HTTP GET /sse', 'globex', 200],
      ['HTTP GET /api/v1/me/notifications', 'globex', 200],
    ])
  })

  test('is missing on a rejected request', async () => {
    const spans = await tracesOf(
      async app => {
        await app.get('/stats', { 'x-api-key': 'wrong', 'x-tenant-id': 'acme' })
        await fetch(`${app.url}/sse?token=wrong`)
      },
      { TENANT_ENABLED: 'true' },
    )
    expect(spans.map(({ attributes }) => attributes['ara.tenant'])).toEqual([undefined, undefined])
    expect(spans.map(({ failed }) => failed)).toEqual([false, false])
  })
})

test('a store outage fails the append, the dispatch and the request; its log line names the trace', async () => {
  let lines: TestApp['lines'] = []
  const spans = await tracesOf(
    async app => {
      const { status, headers } = await app.post(SEND, BODY, { traceparent: `00-${TRACE}-${SPAN}-01` })
      expect(status).toBe(503)
      lines = app.lines.filter(({ event }) => event === 'http.refused')
      expect(lines).toMatchObject([{ trace_id: TRACE, request_id: headers.get('x-request-id') }])
    },
    { QUEUE_ENABLED: 'true' },
    {
      wrapStore: store => ({
        ...store,
        log: { ...store.log, append: () => Promise.reject(new StoreAway('gone')) },
      }),
    },
  )
  expect(spans.map(({ name, failed }) => [name, failed])).toEqual([
    ['store.append', true],
    ['dispatch', true],
    [POST_SEND, true],
  ])
})

test('log lines about failed authentication name the request, and the trace if there is one', async () => {
  const refuse = async (app: TestApp) => {
    const traceparent = `00-${TRACE}-${SPAN}-01`
    for (const path of ['/stats', '/api/v1/me/notifications', '/sse', '/ws'])
      await fetch(app.url + path, { headers: { traceparent, 'x-request-id': `r${path}` } })
    return app.lines.filter(({ event }) => event === 'auth.refused')
  }
  const ids = ['r/stats', 'r/api/v1/me/notifications', 'r/sse', 'r/ws']
  await using untraced = await startTestApp()
  const lines = await refuse(untraced)
  expect(lines.map(({ request_id, trace_id }) => [request_id, trace_id])).toEqual(
    ids.map(id => [id, undefined]),
  )
  await tracesOf(async app => {
    const linesOfTraced = await refuse(app)
    expect(linesOfTraced.map(({ request_id, trace_id }) => [request_id, trace_id])).toEqual(
      ids.map(id => [id, TRACE]),
    )
  })
})

test('traces are invisible to clients and callers', async () => {
  await tracesOf(
    async app => {
      using v1 = await socketOf(app, 'u')
      using stream = await streamOf(app, 'u', { cursor: '' })
      const answer = await sendWith(app, { traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: 'acme=7' })
      const listed = await app.get('/api/v1/users/u/notifications')
      const seen = JSON.stringify([
        await v1.next(),
        await stream.take(2),
        answer.text,
        listed.text,
        ...[answer, listed].flatMap(({ headers }) => [...headers]),
      ])
      expect(seen).toContain('"cursor"')
      expect(seen).not.toMatch(new RegExp(`${TRACE}|acme=7|trace`))
    },
    { QUEUE_ENABLED: 'true' },
  )
})

test('no span holds a payload, a variable, a token, a key or a query', async () => {
  const secrets = {
    payload: 'the-payload-51',
    variable: 'the-variable-52',
    query: 'the-query-53',
    wrongKey: 'the-wrong-key-54',
    password: 'the-password-55',
    path: 'the-unknown-path-56',
  }
  let tokens: string[] = []
  let raw = ''
  await using collector = await startCollector()
  const app = await startTestApp({
    ...tracedBy(collector),
    OTEL_ENDPOINT: `http://someone:${secrets.password}@127.0.0.1:${collector.port}/?q=${secrets.query}`,
    QUEUE_ENABLED: 'true',
    ACK_ENABLED: 'true',
  })
  try {
    tokens = [await app.token('u'), await app.token('v')]
    const template = {
      id: 't',
      name: 't',
      event_type: 'e',
      payload_template: { text: '{{x}}', own: secrets.payload },
    }
    await app.post('/api/v1/templates', template)
    await send(app, 'u', secrets.payload)
    await app.post(SEND, { target_user_id: 'u', template_id: 't', variables: { x: secrets.variable } })
    await app.post(SEND, `{"target_user_id":"u","payload":"${secrets.payload}"`)
    await app.get(`/stats?q=${secrets.query}`, { 'x-api-key': secrets.wrongKey })
    await app.get(`/${secrets.path}`)
    using socket = await socketOf(app, 'u', { cursor: '' })
    await socket.take(3)
    const [first = '', second = ''] = tokens
    await fetch(`${app.url}/sse?token=${first}x&q=${secrets.query}`)
    await fetch(`${app.url}/api/v1/me/notifications?token=${first}&q=${secrets.query}`)
    await fetch(`${app.url}/api/v1/me/notifications`, { headers: { authorization: `Bearer ${second}` } })
  } finally {
    await app[Symbol.asyncDispose]()
    raw = collector.raw()
  }
  expect(raw).toContain('HTTP GET /sse')
  expect(raw).toContain('replay')
  const written = raw + JSON.stringify(app.lines)
  for (const secret of [...Object.values(secrets), ...tokens.map(token => token.slice(-40)), API_KEY])
    expect(written).not.toContain(secret)
})
