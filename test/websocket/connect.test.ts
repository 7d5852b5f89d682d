import { expect, test } from 'bun:test'
import { createStats } from '../../src/observe/stats.ts'
import { createAdmission } from '../../src/transport/admission.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import type { RawClient } from '../support/raw-socket.ts'
import { broadcast, eventually, publish, rawOf, send, settle, socketOf, streamOf } from '../support/visit.ts'

const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const TEXT = 1
const BINARY = 2
const CLOSE = 8
const PING = 9
const PONG = 10

const LIMIT_ERROR = { type: 'error', code: 'CONNECTION_LIMIT', message: expect.any(String) }
const NOBODY = { total: 0, unique_users: 0, channels_count: 0 }
const now = () => Math.floor(Date.now() / 1000)
const heartbeats = (client: { readonly messages: readonly object[] }) =>
  client.messages.filter(message => 'type' in message && message.type === 'heartbeat').length
const answerTo = (client: RawClient) => {
  client.send(PING)
  return client.frames.until(({ opcode }) => opcode === PONG)
}
const pingsOf = (client: RawClient) => client.frames.all.filter(({ opcode }) => opcode === PING).length
const codeOf = (payload: Buffer) => payload.readUInt16BE(0)
const connections = async (app: TestApp) => (await app.get('/health')).json.connections
const envelope = (code: string) => ({ error: { code, message: expect.any(String) } })

/** Requests a connection with exactly these headers; resolves with status, headers and the body of a rejection. */
async function ask(app: TestApp, path: string, headers: readonly string[] = UPGRADE) {
  using exchange = await exchangeRaw(app.port, [`GET ${path} HTTP/1.1`, ...headers])
  const [line = '', ...rest] = exchange.head.split('\r\n')
  const fields = new Headers(rest.map(field => field.split(/: (.*)/).slice(0, 2) as [string, string]))
  const status = Number(line.split(' ')[1])
  const length = Number(fields.get('content-length') ?? 0)
  const text = status < 400 ? '' : await exchange.until(body => Buffer.byteLength(body) >= length)
  return { status, headers: fields, json: text === '' ? undefined : JSON.parse(text) }
}

test('the server takes the token from the first place that has one, and selects `bearer` only for a subprotocol token', async () => {
  await using app = await startTestApp()
  const good = await app.token('u')
  const cases: [
    query: string | undefined,
    header: string,
    protocols: string,
    status: number,
    selected: string | null,
  ][] = [
    [good, '', '', 101, null],
    [undefined, `Bearer ${good}`, '', 101, null],
    [undefined, '', `bearer, ${good}`, 101, 'bearer'],
    [undefined, '', `bearer,${good}`, 101, 'bearer'],
    [good, 'Bearer x', 'bearer, x', 101, null],
    [good, '', 'chat', 101, null],
    [good, '', 'bearer', 101, null],
    [good, '', `bearer, ${good}`, 101, null],
    [undefined, `Bearer ${good}`, `bearer, ${good}`, 101, null],
    [undefined, `bearer ${good}`, `bearer, ${good}`, 101, null],
    [undefined, `Basic ${good}`, `bearer, ${good}`, 101, 'bearer'],
    ['x', `Bearer ${good}`, `bearer, ${good}`, 401, null],
    ['', `Bearer ${good}`, `bearer, ${good}`, 401, null],
    [undefined, 'Bearer x', `bearer, ${good}`, 401, null],
    [undefined, `Bearer  ${good}`, '', 101, null],
    [undefined, `bearer ${good}`, '', 101, null],
    [undefined, `Bearer${good}`, '', 401, null],
    [undefined, good, '', 401, null],
    [undefined, '', good, 401, null],
    [undefined, '', `${good}, bearer`, 401, null],
    [undefined, '', `Bearer, ${good}`, 401, null],
    [undefined, '', 'bearer', 401, null],
    [undefined, '', 'bearer, x', 401, null],
    [undefined, '', '', 401, null],
  ]
  for (const each of cases) {
    const [query, header, protocols, status, selected] = each
    const answer = await ask(app, query === undefined ? '/ws' : `/ws?token=${query}`, [
      ...UPGRADE,
      ...(header === '' ? [] : [`Authorization: ${header}`]),
      ...(protocols === '' ? [] : [`Sec-WebSocket-Protocol: ${protocols}`]),
    ])
    expect([each, answer.status, answer.headers.get('sec-websocket-protocol')]).toEqual([
      each,
      status,
      selected,
    ])
  }
  await eventually(async () => (await connections(app)).total === 0)
})

test('a browser connects with its token as a subprotocol', async () => {
  await using app = await startTestApp()
  using client = await connectSocket(`${app.url}/ws`, ['bearer', await app.token('u')])
  await send(app, 'u', 1)
  expect(await client.next()).toMatchObject({ type: 'notification', payload: 1 })
})

test('the answer to the upgrade is 101 with a request id and without compression', async () => {
  await using app = await startTestApp()
  const answer = await ask(app, `/ws?token=${await app.token('u')}`, [
    ...UPGRADE,
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
    'X-Request-Id: r-1',
  ])
  expect(answer.status).toBe(101)
  expect(answer.headers.get('upgrade')?.toLowerCase()).toBe('websocket')
  expect(answer.headers.get('connection')?.toLowerCase()).toBe('upgrade')
  expect(answer.headers.get('sec-websocket-accept')).toBe(ACCEPT)
  expect(answer.headers.get('sec-websocket-extensions')).toBeNull()
  expect(answer.headers.get('x-request-id')).toBe('r-1')
})

test('a stream takes its token from the query or the header, never from a subprotocol', async () => {
  await using app = await startTestApp()
  const good = await app.token('u')
  const statusOf = async (path: string, headers: Record<string, string>) => {
    const abort = new AbortController()
    const { status } = await fetch(app.url + path, { headers, signal: abort.signal })
    abort.abort()
    return status
  }
  expect(await statusOf(`/sse?token=${good}`, { authorization: 'Bearer x' })).toBe(200)
  expect(await statusOf('/sse', { authorization: `Bearer ${good}` })).toBe(200)
  expect(await statusOf('/sse?token=x', { authorization: `Bearer ${good}` })).toBe(401)
  expect(await statusOf('/sse?token=', { authorization: `Bearer ${good}` })).toBe(401)
  expect(await statusOf('/sse', { authorization: `bearer ${good}` })).toBe(200)
  expect(await statusOf('/sse', { 'sec-websocket-protocol': `bearer, ${good}` })).toBe(401)
})

test('a repeated known query parameter or bad percent-encoding is 400; unknown parameters are ignored', async () => {
  await using app = await startTestApp()
  const good = await app.token('u')
  for (const path of ['/ws', '/sse']) {
    for (const query of [
      `token=${good}&token=${good}`,
      'token=x&token=',
      `token=${good}&cursor=&cursor=`,
      'a=%zz',
      `token=${good}&cursor=%`,
    ]) {
      const { status, json } = await ask(app, `${path}?${query}`)
      expect([path, query, status, json.error.code]).toEqual([path, query, 400, 'VALIDATION_ERROR'])
      expect(JSON.stringify(json)).not.toContain(good)
    }
  }
  expect((await ask(app, `/ws?x=1&token=${good}&x=2&Token=y&Cursor=z`)).status).toBe(101)
})

test('an Origin that is not listed is 403 before any other check', async () => {
  await using app = await startTestApp({ CORS_ORIGINS: 'https://a.example, https://b.example:8443' })
  const good = await app.token('u')
  const ws = (origin: string, query = `token=${good}`) =>
    ask(app, `/ws?${query}`, [...UPGRADE, `Origin: ${origin}`])
  for (const origin of ['https://a.example', 'https://b.example:8443'])
    expect((await ws(origin)).status).toBe(101)
  expect((await ask(app, `/ws?token=${good}`)).status).toBe(101)
  const strangers = [
    'https://c.example',
    'http://a.example',
    'https://a.example:8443',
    'https://b.example',
    'https://a.example/',
    'https://A.example',
    'https://a.example.evil.example',
    'null',
    'https://a.example, https://b.example:8443',
  ]
  for (const origin of strangers)
    for (const query of [`token=${good}`, 'token=x', 'token=x&token=y', ''])
      expect([origin, query, await ws(origin, query)]).toMatchObject([
        origin,
        query,
        { status: 403, json: envelope('FORBIDDEN') },
      ])
  const stream = await app.get(`/sse?token=${good}`, { origin: 'https://c.example' })
  expect(stream).toMatchObject({ status: 403, json: envelope('FORBIDDEN') })
  using listed = await streamOf(app, 'u', { headers: { origin: 'https://a.example' } })
  expect(listed.response.headers.get('access-control-allow-origin')).toBe('https://a.example')
})

test('without CORS_ORIGINS, or with `*` among them, every origin passes', async () => {
  for (const origins of ['', 'https://a.example,*']) {
    await using app = await startTestApp({ CORS_ORIGINS: origins })
    const answer = await ask(app, `/ws?token=${await app.token('u')}`, [
      ...UPGRADE,
      'Origin: https://c.example',
    ])
    expect(answer.status).toBe(101)
  }
})

test('a missing or invalid token is 401 with the envelope, before the upgrade and without the reason', async () => {
  await using app = await startTestApp({ JWT_LEEWAY_SECONDS: '0' })
  const expired = await app.token('u', { exp: now() - 1 })
  const tokens = {
    missing: undefined,
    empty: '',
    garbage: 'x.y.z',
    expired,
    'without exp': await app.token('u', { exp: undefined }),
    'without sub': await app.token('u', { sub: undefined }),
    'not yet valid': await app.token('u', { nbf: now() + 100 }),
    'of another secret': `${expired.slice(0, expired.lastIndexOf('.'))}.AAAA`,
    'without signature': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${expired.split('.')[1]}.`,
  }
  for (const [what, token] of Object.entries(tokens))
    for (const path of ['/ws', '/sse']) {
      const answer = await ask(app, token === undefined ? path : `${path}?token=${token}`)
      expect([what, path, answer.status, answer.json]).toEqual([what, path, 401, envelope('UNAUTHORIZED')])
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(answer.headers.get('content-type')).toStartWith('application/json')
      expect(answer.headers.get('x-request-id')).toBeString()
      expect(answer.json.error.message).toMatch(token === undefined ? /missing/ : /invalid/)
    }
  expect(await connections(app)).toEqual(NOBODY)
  const refusals = app.lines.filter(({ event }) => event === 'auth.refused')
  expect(refusals.length).toBeGreaterThan(0)
  for (const line of refusals) expect(line).toMatchObject({ kind: 'jwt', reason: expect.any(String) })
  expect(JSON.stringify(app.lines)).not.toContain(expired.slice(0, 60))
})

test('a valid token without valid upgrade headers is 426 with the Upgrade header', async () => {
  await using app = await startTestApp()
  const path = `/ws?token=${await app.token('u')}`
  const without = (name: string) => UPGRADE.filter(line => !line.startsWith(name))
  const cases: Record<string, readonly string[]> = {
    none: [],
    'no Connection': without('Connection'),
    'Connection without Upgrade': [...without('Connection'), 'Connection: keep-alive'],
    'no Upgrade': without('Upgrade'),
    'another protocol': [...without('Upgrade'), 'Upgrade: h2c'],
    'no version': without('Sec-WebSocket-Version'),
    'another version': [...without('Sec-WebSocket-Version'), 'Sec-WebSocket-Version: 8'],
    'no key': without('Sec-WebSocket-Key'),
    'a short key': [...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key: dGhl'],
    'a key that is no base64': [
      ...without('Sec-WebSocket-Key'),
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j**==',
    ],
  }
  for (const [what, headers] of Object.entries(cases)) {
    const answer = await ask(app, path, headers)
    expect([what, answer.status, answer.json]).toEqual([what, 426, envelope('UPGRADE_REQUIRED')])
    expect(answer.headers.get('upgrade')).toBe('websocket')
  }
  for (const headers of [[], without('Upgrade')])
    expect((await ask(app, '/ws?token=x', headers)).status).toBe(401)
  expect(
    (
      await ask(app, path, [
        ...without('Upgrade').slice(1),
        'Connection: keep-alive, upgrade',
        'Upgrade: WebSocket',
      ])
    ).status,
  ).toBe(101)
  expect((await ask(app, path)).status).toBe(101)
})

test('other methods on the two routes are 405', async () => {
  await using app = await startTestApp()
  for (const path of ['/ws', '/sse'])
    for (const method of ['HEAD', 'POST', 'PUT', 'DELETE']) {
      const { status, headers } = await fetch(`${app.url}${path}?token=${await app.token('u')}`, { method })
      expect([path, method, status, headers.get('allow')]).toEqual([path, method, 405, 'GET'])
    }
})

test('a connection above the limit of the node gets only the error message, then 1013', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS: '2', QUEUE_ENABLED: 'true' })
  using first = await socketOf(app, 'a')
  using second = await streamOf(app, 'b')
  await send(app, 'c', 1)
  for (const cursor of [undefined, '']) {
    using third = await socketOf(app, 'c', cursor === undefined ? {} : { cursor })
    expect(await third.closed).toEqual({ code: 1013, reason: expect.any(String) })
    expect(third.inbox.all).toEqual([LIMIT_ERROR])
  }
  const stream = await app.get(`/sse?token=${await app.token('c')}`)
  expect(stream).toMatchObject({ status: 429, json: envelope('CONNECTION_LIMIT') })
  expect(stream.headers.get('retry-after')).toBe('5')
  expect(await connections(app)).toEqual({ total: 2, unique_users: 2, channels_count: 0 })
  first.close()
  await eventually(async () => (await connections(app)).total === 1)
  using third = await socketOf(app, 'c')
  expect(await third.next()).toMatchObject({ payload: 1 })
  second.close()
})

test('a user may have five connections by default, sockets and streams together', async () => {
  await using app = await startTestApp()
  for (let n = 0; n < 3; n++) await socketOf(app, 'u')
  for (let n = 0; n < 2; n++) await streamOf(app, 'u')
  using sixth = await socketOf(app, 'u')
  expect(await sixth.closed).toMatchObject({ code: 1013 })
  expect(sixth.inbox.all).toEqual([LIMIT_ERROR])
  expect((await app.get(`/sse?token=${await app.token('u')}`)).status).toBe(429)
  using other = await socketOf(app, 'v')
  expect(await settle(other)).toEqual([])
  expect(await connections(app)).toEqual({ total: 6, unique_users: 2, channels_count: 0 })
})

test('a limit of 0 allows any number of connections', async () => {
  await using app = await startTestApp({
    WEBSOCKET_MAX_CONNECTIONS: '0',
    WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
  })
  const clients = await Promise.all(Array.from({ length: 30 }, () => socketOf(app, 'u')))
  expect(await send(app, 'u', 1)).toMatchObject({ delivered_to: 30 })
  for (const client of clients) expect(await client.next()).toMatchObject({ payload: 1 })
})

test('fifty simultaneous connects of one user leave exactly five connections', async () => {
  await using app = await startTestApp()
  const clients = await Promise.all(Array.from({ length: 50 }, () => socketOf(app, 'u')))
  const isOver = async (client: (typeof clients)[number]) => {
    client.send({ type: 'Ping' })
    const first = await client.next()
    if (first.type === 'pong') return false
    expect(first).toEqual(LIMIT_ERROR)
    expect(await client.closed).toMatchObject({ code: 1013 })
    expect(client.inbox.all).toHaveLength(1)
    return true
  }
  const over = await Promise.all(clients.map(isOver))
  expect(over.filter(each => each)).toHaveLength(45)
  expect(await connections(app)).toEqual({ total: 5, unique_users: 1, channels_count: 0 })
  expect(await send(app, 'u', 1)).toMatchObject({ delivered_to: 5 })

  const path = `${app.url}/sse?token=${await app.token('v')}`
  const streams = await Promise.all(Array.from({ length: 50 }, () => fetch(path)))
  expect(streams.filter(({ status }) => status === 200)).toHaveLength(5)
  expect(streams.filter(({ status }) => status === 429)).toHaveLength(45)
  expect(await connections(app)).toEqual({ total: 10, unique_users: 2, channels_count: 0 })
  for (const { body } of streams) await body?.cancel()
})

test('a draining node rejects new connections with 503 and Retry-After, without checking the token', async () => {
  await using app = await startTestApp({ DRAIN_SECONDS: '1', CORS_ORIGINS: 'https://a.example' })
  const good = await app.token('u')
  const clients = [await socketOf(app, 'u'), await socketOf(app, 'u')]
  const drained = awaitedLater(app.app.drain())
  for (const path of [
    `/ws?token=${good}`,
    `/sse?token=${good}`,
    '/ws?token=x',
    '/ws?token=x&token=y',
    '/sse',
  ]) {
    const { status, headers, json } = await ask(app, path)
    expect([path, status, json]).toEqual([path, 503, envelope('SHUTTING_DOWN')])
    expect(Number(headers.get('retry-after'))).toBeWithin(1, 61)
    expect(headers.get('connection')).toBe('close')
  }
  expect((await ask(app, '/ws?token=x', [...UPGRADE, 'Origin: https://c.example'])).status).toBe(403)
  for (const client of clients) expect(await client.closed).toMatchObject({ code: 1012 })
  await drained
})

test('connections get the constant CORS headers of all answers, whether or not the framework makes them', async () => {
  const token = await (async () => {
    await using app = await startTestApp()
    return app.token('u')
  })()
  for (const CORS_ORIGINS of ['', 'https://a.example']) {
    await using app = await startTestApp({ CORS_ORIGINS })
    const { headers: health } = await app.get('/health')
    const names = [...health.keys()].filter(name => name.startsWith('access-control-') || name === 'vary')
    const constant = Object.fromEntries(names.map(name => [name, health.get(name)]))
    for (const [path, status] of [
      [`/ws?token=${token}`, 101],
      [`/sse?token=${token}`, 200],
      ['/ws?token=x', 401],
      ['/sse', 401],
    ] as const)
      for (const origin of [undefined, 'https://a.example']) {
        const own = ['X-Request-Id: my-id', ...(origin === undefined ? [] : [`Origin: ${origin}`])]
        const answer = await ask(app, path, path.startsWith('/ws') ? [...UPGRADE, ...own] : own)
        const cors = names.map(name => [name, answer.headers.get(name)])
        expect([answer.status, answer.headers.get('x-request-id')]).toEqual([status, 'my-id'])
        expect(Object.fromEntries(cors)).toEqual(constant)
      }
  }
})

test('a drain that begins during the token check rejects the connection', async () => {
  let isDraining = false
  const admit = createAdmission({
    origins: { allows: () => true },
    identities: {
      forNow: async () => {
        isDraining = true
        return {
          ok: true,
          unchecked: false,
          principal: { user: 'u', tenant: 'default', roles: [], expiresAt: Number.POSITIVE_INFINITY },
        }
      },
    },
    access: 'open',
    maxChannels: 0,
    limitsOf: () => ({ tenant: 0, user: 0, subscriptions: 0 }),
    isDraining: () => isDraining,
    retryAfterSeconds: 1,
    limit: undefined,
    stats: createStats(),
    onRefused: () => {},
  })
  const request = new Request('http://localhost/ws?token=t')
  expect(await Promise.try(admit, request, 'ws', {}).catch(error => error.code)).toBe('SHUTTING_DOWN')
})

test('a connection closes with 4401 at `exp` without leeway, not before', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { JWT_LEEWAY_SECONDS: '0', WEBSOCKET_CONNECTION_TIMEOUT: '3600' },
    { clock },
  )
  const claims = { exp: now() + 1_000 }
  using v1 = await socketOf(app, 'u', { claims })
  using optedIn = await socketOf(app, 'u', { claims, cursor: '' })
  using stream = await streamOf(app, 'u', { claims })
  using longer = await socketOf(app, 'u', { claims: { exp: now() + 2_000 } })
  clock.jump(990)
  expect((await optedIn.nextOf('token_expiring')).in).toBeWithin(3, 11)
  expect(await settle(v1)).toEqual([])
  clock.jump(10)
  expect(await v1.closed).toEqual({ code: 4401, reason: expect.any(String) })
  expect(await optedIn.closed).toMatchObject({ code: 4401 })
  await stream.closed
  expect(stream.inbox.all.at(-1)).toMatchObject({
    event: 'error',
    data: { type: 'error', code: 'UNAUTHORIZED', message: expect.any(String) },
  })
  expect(await settle(longer)).toEqual([])
  expect(await connections(app)).toMatchObject({ total: 1 })
})

test('the leeway applies to open connections too', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { JWT_LEEWAY_SECONDS: '60', WEBSOCKET_HEARTBEAT_INTERVAL: '1' },
    { clock },
  )
  using client = await socketOf(app, 'u', { claims: { exp: now() + 30 } })
  clock.jump(80)
  await client.nextOf('heartbeat')
  expect(await settle(client)).toEqual([])
  using late = await socketOf(app, 'u', { claims: { exp: now() + 30 }, cursor: '' })
  expect(await late.next()).toMatchObject({ type: 'connected', expires_in: 0 })
  expect(await late.next()).toEqual({ type: 'token_expiring', in: 0 })
  clock.jump(10)
  expect(await client.closed).toMatchObject({ code: 4401 })
  expect(await late.closed).toMatchObject({ code: 4401 })
})

test('opted-in clients receive `token_expiring` once, 25 seconds before `exp`', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { WEBSOCKET_HEARTBEAT_INTERVAL: '1', WEBSOCKET_CONNECTION_TIMEOUT: '3600' },
    { clock },
  )
  const claims = { exp: now() + 110 }
  using v1 = await socketOf(app, 'u', { claims })
  using optedIn = await socketOf(app, 'u', { claims, cursor: '' })
  using stream = await streamOf(app, 'u', { claims })
  expect(await optedIn.next()).toMatchObject({ type: 'connected', expires_in: expect.any(Number) })
  expect(await stream.next()).toMatchObject({ event: 'connected', data: { expires_in: expect.any(Number) } })
  clock.jump(80)
  await optedIn.nextOf('heartbeat')
  expect(await settle(optedIn)).toEqual([])
  clock.jump(5)
  const notice = { type: 'token_expiring', in: expect.any(Number) }
  const received = await optedIn.next()
  expect(received).toEqual(notice)
  expect(received.in).toBeWithin(18, 26)
  expect(await stream.next()).toMatchObject({ event: 'token_expiring', data: notice })
  await optedIn.nextOf('heartbeat')
  expect(await settle(optedIn)).toEqual([])
  expect(await settle(v1)).toEqual([])
  expect(optedIn.inbox.all.filter(({ type }) => type === 'token_expiring')).toHaveLength(1)
})

test('a client whose token expires within 25 seconds receives `token_expiring` at once', async () => {
  await using app = await startTestApp()
  const exp = now() + 10
  using client = await socketOf(app, 'u', { claims: { exp }, cursor: '' })
  const [connected, notice] = await client.take(2)
  expect(connected).toMatchObject({ type: 'connected' })
  expect(connected.expires_in).toBeWithin(3, 11)
  expect(notice.type).toBe('token_expiring')
  expect(notice.in).toBeWithin(3, 11)
})

test('the server sends a heartbeat and a ping each interval, the first within one interval of connecting', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { WEBSOCKET_CONNECTION_TIMEOUT: '3600', QUEUE_ENABLED: 'true' },
    { clock },
  )
  using client = await rawOf(app, 'u')
  using stream = await streamOf(app, 'u')
  await send(app, 'u', 1)
  for (let n = 1; n <= 5; n++) {
    clock.jump(30)
    await client.frames.until(({ payload }) => payload.toString() === '{"type":"heartbeat"}')
    const ping = await client.frames.until(({ opcode }) => opcode === PING)
    expect(ping.payload.length).toBeLessThanOrEqual(125)
    expect((await stream.nextOf('heartbeat')).data).toEqual({ type: 'heartbeat' })
    expect(heartbeats(client)).toBeWithin(n, n + 2)
  }
})

test('the server pings every 300 s between rarer heartbeats, on streams by comments', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { WEBSOCKET_HEARTBEAT_INTERVAL: '3600', WEBSOCKET_CONNECTION_TIMEOUT: '3601' },
    { clock },
  )
  using client = await rawOf(app, 'u')
  using stream = await streamOf(app, 'u')
  const signs = () => stream.inbox.all.filter(({ comment, event }) => comment ?? event === 'heartbeat').length
  for (let passed = 300; passed <= 3_600; passed += 300) {
    const [pings, before] = [pingsOf(client), signs()]
    clock.jump(300)
    await eventually(() => pingsOf(client) > pings)
    // The parser returns a comment with the next event.
    await eventually(async () => {
      await broadcast(app, passed)
      await stream.nextOf('notification')
      return signs() > before
    })
  }
  expect(heartbeats(client)).toBeWithin(1, 3)
}, 20_000)

test('heartbeats arrive each second with an interval of one second', async () => {
  await using app = await startTestApp({ WEBSOCKET_HEARTBEAT_INTERVAL: '1' })
  using client = await socketOf(app, 'u')
  const began = performance.now()
  for (let n = 0; n < 3; n++) await client.nextOf('heartbeat')
  expect(performance.now() - began).toBeWithin(1_400, 6_000)
})

test('heartbeats of many clients are spread over the interval', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' }, { clock })
  const clients = await Promise.all(Array.from({ length: 100 }, () => rawOf(app, 'u')))
  clock.jump(15)
  await eventually(() => clients.some(client => heartbeats(client) > 0))
  // Each answer arrives after the heartbeats before it.
  await Promise.all(clients.map(answerTo))
  const early = clients.filter(client => heartbeats(client) > 0).length
  expect(early).toBeWithin(20, 80)
  clock.jump(15)
  await eventually(() => clients.every(client => pingsOf(client) > 0))
  for (const client of clients) client.reset()
})

test('a silent client is closed with 4408 at the next check after the timeout; any frame prevents that', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { WEBSOCKET_CLEANUP_INTERVAL: '1', QUEUE_ENABLED: 'true', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' },
    { clock },
  )
  const [silent, pings, pongs, texts, binaries] = await Promise.all(
    Array.from({ length: 5 }, () => rawOf(app, 'u', { answerPings: false })),
  )
  using listener = await socketOf(app, 'u')
  const speak = () => {
    pings?.send(PING, 'x')
    pongs?.send(PONG, 'unasked')
    texts?.send(TEXT, 'nonsense')
    binaries?.send(BINARY, 'x')
  }
  let isClosed = false
  void silent?.closed.then(() => {
    isClosed = true
  })
  for (let passed = 40; passed <= 360; passed += 40) {
    clock.jump(40)
    await listener.nextOf('heartbeat')
    speak()
    // The answer shows that the server has read everything before.
    await pings?.frames.until(({ opcode }) => opcode === PONG)
    await app.get('/health')
    if (passed === 80) expect(isClosed).toBe(false)
  }
  const end = await silent?.frames.until(({ opcode }) => opcode === CLOSE)
  expect(end && codeOf(end.payload)).toBe(4408)
  await silent?.closed
  expect((await send(app, 'u', 'still here')).delivered_to).toBe(5)
  for (const client of [pings, pongs, texts, binaries])
    await client?.frames.until(({ opcode, payload }) => opcode === TEXT && payload.includes('still here'))
  expect(await listener.nextOf('notification')).toMatchObject({ payload: 'still here' })
  expect(listener.inbox.all.filter(({ type }) => type === 'heartbeat').length).toBeGreaterThanOrEqual(9)
  for (const client of [pings, pongs, texts, binaries]) client?.reset()
}, 30_000)

test('A client that has been silent for 3 minutes still receives: of its own user, of channels and of all.', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ WEBSOCKET_CLEANUP_INTERVAL: '1' }, { clock })
  using client = await socketOf(app, 'u')
  using stream = await streamOf(app, 'u')
  client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await client.next()
  for (let passed = 0; passed <= 360; passed += 60) {
    clock.jump(60)
    await client.nextOf('heartbeat')
    await app.get('/health')
  }
  await send(app, 'u', 1)
  await publish(app, 'c', 2)
  await broadcast(app, 3)
  expect((await client.take(3)).map(({ payload }) => payload)).toEqual([1, 2, 3])
  expect((await stream.take(3)).map(({ data }) => data.payload)).toEqual([undefined, 1, 3])
}, 30_000)

test('a silent client with bytes still buffered is terminated without a close frame', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { WEBSOCKET_CLEANUP_INTERVAL: '1', SEND_BUFFER_BYTES: '67108864' },
    { clock },
  )
  using client = await rawOf(app, 'u')
  client.stall()
  for (let n = 0; n < 250; n++) expect((await send(app, 'u', 'x'.repeat(60_000))).delivered_to).toBe(1)
  clock.jump(121)
  await eventually(async () => (await connections(app)).total === 0)
  client.resume()
  await client.closed
  expect(client.frames.all.filter(({ opcode }) => opcode === CLOSE)).toEqual([])
  expect(client.messages.length).toBeLessThan(250)
  expect(app.lines.at(-1)).toMatchObject({ event: 'connection.closed', code: 4408 })
})

test('events that wait for a stalled stream do not count as received', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' }, { clock })
  for (let n = 0; n < 250; n++) await send(app, 'u', `${n} ${'x'.repeat(60_000)}`)
  using stalled = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u')} HTTP/1.1`])
  stalled.stall()
  using clockwork = await streamOf(app, 'v')
  for (let n = 0; n < 3; n++) {
    clock.jump(30)
    await clockwork.nextOf('heartbeat')
  }
  stalled.reset()
  await eventually(async () => (await connections(app)).total === 1)
  using again = await streamOf(app, 'u')
  const [, ...events] = await again.take(251)
  expect(events.map(({ data }) => Number.parseInt(data.payload, 10))).toEqual(
    Array.from({ length: 250 }, (_, n) => n),
  )
}, 30_000)

test('the server answers a close frame of a client with its code', async () => {
  await using app = await startTestApp()
  using client = await rawOf(app, 'u')
  client.send(CLOSE, Uint8Array.from([0x03, 0xe8]))
  expect(codeOf((await client.frames.until(({ opcode }) => opcode === CLOSE)).payload)).toBe(1000)
  await client.closed
})

test('a stream whose client stops reading is cut after the timeout', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' }, { clock })
  for (let n = 0; n < 250; n++) await send(app, 'u', 'x'.repeat(60_000))
  using stalled = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u')} HTTP/1.1`])
  stalled.stall()
  using reader = await streamOf(app, 'u')
  const jump = async (seconds: number) => {
    for (let passed = 0; passed < seconds; passed += 30) {
      clock.jump(30)
      await reader.nextOf('heartbeat')
    }
  }
  await jump(90)
  expect((await connections(app)).total).toBe(2)
  await jump(120)
  expect((await connections(app)).total).toBe(1)
  // When it reads again it learns that the stream has ended.
  stalled.resume()
  await stalled.closed
}, 30_000)

test('a closed socket leaves no entry in any index, however it ends', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(
    { QUEUE_ENABLED: 'true', WEBSOCKET_CLEANUP_INTERVAL: '1', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' },
    { clock },
  )
  const channels = JSON.stringify({ type: 'Subscribe', payload: { channels: ['a', 'b'] } })
  const subscribedRaw = async () => {
    const client = await rawOf(app, 'u')
    client.send(TEXT, channels)
    await client.next()
    return client
  }
  const ends: Record<string, () => Promise<void>> = {
    'a clean close': async () => {
      using client = await socketOf(app, 'u')
      client.sendRaw(channels)
      await client.next()
      client.close()
      await client.closed
    },
    'a close frame with another code': async () => {
      const client = await subscribedRaw()
      client.send(CLOSE, Uint8Array.from([0x0f, 0xa0]))
      await client.closed
    },
    'a reset': async () => (await subscribedRaw()).reset(),
    'a reset behind a subscription': async () => {
      const client = await rawOf(app, 'u')
      client.send(TEXT, channels)
      client.reset()
    },
    'an end of the TCP connection': async () => (await subscribedRaw())[Symbol.dispose](),
    'a message too large': async () => {
      const client = await subscribedRaw()
      client.send(TEXT, 'x'.repeat(65_537))
      await client.closed
    },
    'a hundred bad messages': async () => {
      const client = await subscribedRaw()
      for (let n = 0; n < 120; n++) client.send(TEXT, 'bad')
      await client.closed
    },
    'a subscription behind its own close': async () => {
      const client = await subscribedRaw()
      for (let n = 0; n < 100; n++) client.send(TEXT, 'bad')
      client.send(TEXT, channels)
      await client.closed
    },
    silence: async () => {
      const client = await subscribedRaw()
      client.answerPings = false
      clock.jump(121)
      await client.closed
    },
    'a stream given up': async () => {
      const stream = await streamOf(app, 'u')
      stream.close()
    },
    'a stream reset': async () => {
      const stream = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u')} HTTP/1.1`])
      stream.reset()
    },
    'a stream never read': async () => {
      const stream = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u')} HTTP/1.1`])
      stream.stall()
      for (let n = 0; n < 200 && (await connections(app)).total > 0; n++)
        await send(app, 'u', 'x'.repeat(60_000), { ttl: 0 })
    },
    'a token at its end': async () => {
      const client = await socketOf(app, 'u', { claims: { exp: Math.floor(clock.now() / 1000) + 50 } })
      clock.jump(111)
      expect(await client.closed).toMatchObject({ code: 4401 })
    },
  }
  for (const [how, end] of Object.entries(ends)) {
    await end()
    await eventually(async () => (await connections(app)).total === 0).catch(() => {})
    expect([how, await connections(app)]).toEqual([how, NOBODY])
    expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 0, failed: 0 })
    expect(await broadcast(app, 1)).toMatchObject({ delivered_to: 0, failed: 0 })
  }
}, 30_000)

test('log lines never contain the token, cursor or messages of a client', async () => {
  await using app = await startTestApp()
  const token = await app.token('u')
  using client = await socketOf(app, 'u', { cursor: 'a-cursor-nobody-may-see' })
  client.sendRaw('a text nobody may see')
  await client.take(2)
  await ask(app, `/ws?token=${token}x`)
  const lines = JSON.stringify(app.lines)
  for (const secret of [token, 'nobody-may-see', 'nobody may see', API_KEY])
    expect(lines).not.toContain(secret)
})
