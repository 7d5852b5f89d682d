import { expect, test } from 'bun:test'
import { connect } from 'node:net'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { connectRaw } from '../support/raw-socket.ts'

const AT = '/api/v1/notifications'
const BODY = { target_user_id: 'u', event_type: 'e', payload: null }
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const JSON_TYPE = 'application/json'

/** Sends raw bytes, more on demand. Resolves with the first answer, or all bytes at the end. */
function sendRaw(port: number, text: string) {
  const socket = connect({ port, host: '127.0.0.1' })
  const answer = Promise.withResolvers<string>()
  const closed = Promise.withResolvers<void>()
  let bytes = ''
  socket.on('data', chunk => {
    bytes += chunk.toString('latin1')
    const [head = '', body] = bytes.split('\r\n\r\n', 2)
    const [, length = '0'] = /^content-length: (\d+)$/im.exec(head) ?? []
    if (body !== undefined && body.length >= Number(length)) answer.resolve(bytes)
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    answer.resolve(bytes)
    closed.resolve()
  })
  socket.write(text)
  return {
    answer: answer.promise,
    closed: closed.promise,
    write: (more: string) => socket.write(more),
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

const statusOf = (answer: string) => Number(answer.split(' ', 2)[1])
const codeOf = (answer: string) => JSON.parse(answer.split('\r\n\r\n')[1] ?? '').error.code

/** Status and code of an answer. */
async function outcome(service: TestApp, method: string, path: string, init: RequestInit = {}) {
  const response = await fetch(service.url + path, { method, ...init })
  const text = await response.text()
  return [response.status, text === '' ? '' : JSON.parse(text).error?.code]
}

/** Each request also has the fault of every later step; only the first fault decides. */
test('the first fault in processing order decides the answer', async () => {
  await using service = await startTestApp({ CORS_ORIGINS: 'https://a.example' })
  const key = { 'x-api-key': API_KEY }
  const wrong = { 'x-api-key': 'wrong', 'content-type': 'text/plain', 'content-encoding': 'gzip' }
  const huge = '{"channels":['.padEnd(65_537, ' ')
  const broken = '{"channels":[5],"event_type":5,'
  const manyChannels = Array.from({ length: 101 }, () => 'c')
  const shapeless = JSON.stringify({ channels: [...manyChannels, ''], event_type: 'e', payload: null })
  const meaningless = JSON.stringify({ channels: manyChannels, event_type: 'e', payload: null })
  const typed = { ...key, 'content-type': JSON_TYPE }
  const chunked = () => new Response(new ReadableStream({ pull: c => c.enqueue(huge) })).body
  const rows: [string, string, RequestInit, number, string][] = [
    ['OPTIONS', '/nowhere', { headers: wrong }, 200, ''],
    ['PATCH', '/nowhere', { headers: wrong, body: huge }, 404, 'NOT_FOUND'],
    ['PATCH', `${AT}/channels`, { headers: wrong, body: huge }, 405, 'METHOD_NOT_ALLOWED'],
    ['POST', `${AT}/channels`, { headers: wrong, body: huge }, 401, 'UNAUTHORIZED'],
    ['POST', `${AT}/channels`, { headers: { ...wrong, ...key }, body: huge }, 413, 'PAYLOAD_TOO_LARGE'],
    ['POST', `${AT}/channels`, { headers: { ...wrong, ...key }, body: chunked() }, 413, 'PAYLOAD_TOO_LARGE'],
    [
      'POST',
      `${AT}/channels`,
      { headers: { ...wrong, ...key }, body: broken },
      415,
      'UNSUPPORTED_MEDIA_TYPE',
    ],
    ['POST', `${AT}/channels`, { headers: typed, body: broken }, 400, 'INVALID_JSON'],
    ['POST', `${AT}/channels`, { headers: typed, body: shapeless }, 422, 'VALIDATION_ERROR'],
    ['POST', `${AT}/channels`, { headers: typed, body: meaningless }, 400, 'VALIDATION_ERROR'],
  ]
  const answers: unknown[] = []
  for (const [method, path, init] of rows)
    answers.push([method, path, ...(await outcome(service, method, path, init))])
  expect(answers).toEqual(rows.map(([method, path, , status, code]) => [method, path, status, code]))
})

test.each(['/ws', '/sse'])('%s checks the origin, then the query, then the token', async path => {
  await using service = await startTestApp({ CORS_ORIGINS: 'https://a.example' })
  const foreign = { headers: { origin: 'https://b.example' } }
  const rows = [
    [await outcome(service, 'GET', `${path}?token=x&token=y`, foreign), [403, 'FORBIDDEN']],
    [await outcome(service, 'GET', `${path}?token=x&token=y`), [400, 'VALIDATION_ERROR']],
    [await outcome(service, 'GET', `${path}?cursor=&cursor=`), [400, 'VALIDATION_ERROR']],
    [await outcome(service, 'GET', `${path}?token=%zz`), [400, 'VALIDATION_ERROR']],
    [await outcome(service, 'GET', `${path}?token=x`), [401, 'UNAUTHORIZED']],
    [await outcome(service, 'GET', path), [401, 'UNAUTHORIZED']],
  ]
  expect(rows.map(([got]) => got)).toEqual(rows.map(([, meant]) => meant))
})

test('/ws with a valid token but without upgrade headers is answered 426', async () => {
  await using service = await startTestApp()
  const response = await fetch(`${service.url}/ws?token=${await service.token('u')}`)
  expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket'])
  expect(((await response.json()) as { error: { code: string } }).error.code).toBe('UPGRADE_REQUIRED')
})

const VISIBLE = Array.from({ length: 94 }, (_, n) => String.fromCharCode(33 + n)).join('')

test.each([
  ['as short as can be', '7', true],
  ['every visible ASCII character', VISIBLE, true],
  ['128 characters', 'x'.repeat(128), true],
  ['129 characters', 'x'.repeat(129), false],
  ['with a blank', 'a b', false],
  ['with a tab', 'a\tb', false],
  ['not ASCII', 'é', false],
  ['empty', '', false],
])('a request id %s is adopted or replaced', async (_, id, taken) => {
  await using service = await startTestApp()
  const { headers } = await service.get('/health', { 'x-request-id': id })
  expect(headers.get('x-request-id')).toMatch(taken ? /^/ : UUID_V4)
  if (taken) expect(headers.get('x-request-id')).toBe(id)
})

test('every answer carries a request id, which is new for each request', async () => {
  await using service = await startTestApp()
  const headers = { 'x-request-id': 'mine', 'content-type': JSON_TYPE }
  const token = await service.token('u')
  const key = { ...headers, 'x-api-key': API_KEY }
  const requests: [string, RequestInit][] = [
    ['/health', { headers }],
    ['/health', { method: 'HEAD', headers }],
    ['/health', { method: 'OPTIONS', headers }],
    ['/nowhere', { headers }],
    ['/health', { method: 'PUT', headers }],
    [`${AT}/send`, { method: 'POST', headers }],
    [`${AT}/send`, { method: 'POST', headers: key, body: '{' }],
    [`${AT}/send`, { method: 'POST', headers: key, body: JSON.stringify(BODY) }],
    ['/ws', { headers }],
    [`/sse?token=${token}`, { headers }],
  ]
  for (const [path, init] of requests) {
    const response = await fetch(service.url + path, init)
    expect([path, response.headers.get('x-request-id')]).toEqual([path, 'mine'])
    await response.body?.cancel()
  }
  using socket = await connectRaw(service.port, `/ws?token=${token}`, ['X-Request-Id: mine'])
  expect(socket.head.toLowerCase()).toContain('\r\nx-request-id: mine')
  const [one, two] = [await service.get('/health'), await service.get('/health')]
  expect(one.headers.get('x-request-id')).not.toBe(two.headers.get('x-request-id'))
})

const UNKNOWN = [
  '/health/ /Health /health%20 /health%00 /%68ealth /health;a=1 /healthy',
  '//health /health//live /api/v1/notifications /api/v1/notifications/send/ /api/v1/notifications//send /api/v1/Notifications/send /api/v1/notifications%2Fsend',
  '/api/v1/stats /api/v1/ws /api/v1/health /ws/ /constructor /__proto__',
].flatMap(row => row.split(' '))

test('a fixed path takes precedence over a variable one: no notification has the id `send`', async () => {
  await using service = await startTestApp()
  const { status, headers, json } = await service.get('/api/v1/notifications/send')
  expect([status, headers.get('allow'), json.error.code]).toEqual([405, 'POST', 'METHOD_NOT_ALLOWED'])
})

test.each(UNKNOWN)('an unknown path is 404 JSON, with or without a key: %s', async path => {
  await using service = await startTestApp()
  for (const method of ['GET', 'POST', 'DELETE'])
    for (const key of ['', `X-API-Key: ${API_KEY}\r\n`]) {
      using request = sendRaw(service.port, `${method} ${path} HTTP/1.1\r\nHost: x\r\n${key}\r\n`)
      const answer = await request.answer
      expect([method, statusOf(answer), codeOf(answer)]).toEqual([method, 404, 'NOT_FOUND'])
      expect(answer).toMatch(/^content-type: application\/json/im)
    }
})

test.each([
  ['/health', 'GET, HEAD', ['POST', 'PUT', 'DELETE', 'PATCH']],
  ['/health/live', 'GET, HEAD', ['POST']],
  ['/health/ready', 'GET, HEAD', ['POST']],
  [`${AT}/send`, 'POST', ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']],
  [`${AT}/broadcast`, 'POST', ['GET']],
  ['/ws', 'GET', ['HEAD', 'POST']],
  ['/sse', 'GET', ['HEAD', 'POST']],
])('%s allows %s and nothing else, before any authentication', async (path, allow, methods) => {
  await using service = await startTestApp()
  for (const method of methods) {
    const response = await fetch(service.url + path, { method })
    expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, allow])
    expect((await response.text()) === '').toBe(method === 'HEAD')
  }
})

test('a request without Host, as old health checks send it, is served like any other', async () => {
  await using service = await startTestApp()
  for (const path of ['/health', '/health/live', '/health/ready?probe=1']) {
    using request = sendRaw(service.port, `GET ${path} HTTP/1.0\r\n\r\n`)
    expect([path, statusOf(await request.answer)]).toEqual([path, 200])
  }
  const text = JSON.stringify(BODY)
  const head = `POST ${AT}/send HTTP/1.0\r\nX-API-Key: ${API_KEY}\r\nContent-Type: ${JSON_TYPE}\r\nContent-Length: ${text.length}`
  using request = sendRaw(service.port, `${head}\r\n\r\n${text}`)
  expect(statusOf(await request.answer)).toBe(200)
})

test('a URL inside a path or query does not bypass the guard', async () => {
  await using service = await startTestApp()
  const paths = ['/a://b/health', '/xxxxxx/health', '/nowhere?u=http://x/health', '/nowhere?http:///health']
  for (const path of paths)
    for (const version of ['1.0\r\n\r\n', '1.1\r\nHost: x\r\n\r\n', '1.1\r\nHost: a/b?\r\n\r\n']) {
      using request = sendRaw(service.port, `GET ${path} HTTP/${version}`)
      expect([path, statusOf(await request.answer)]).toEqual([path, 404])
    }
})

/** The CORS headers of an answer, without Access-Control-Expose-Headers. */
function corsOf({ headers }: Response) {
  const names = ['allow-origin', 'allow-methods', 'allow-headers', 'max-age', 'allow-credentials']
  const found = names.map(name => [name, headers.get(`access-control-${name}`)])
  return { ...Object.fromEntries(found.filter(([, value]) => value !== null)), vary: headers.get('vary') }
}
const EXPOSED =
  'X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Idempotency-Replayed'
const ASKED = {
  origin: 'https://a.example',
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'x-api-key,content-type',
}
/** Requests whose answers are 200, 404, 405, 401 and 415. */
const REQUESTS: [string, RequestInit][] = [
  ['/health', {}],
  ['/nowhere', {}],
  ['/health', { method: 'PUT' }],
  [`${AT}/send`, { method: 'POST' }],
  [`${AT}/send`, { method: 'POST', headers: { 'x-api-key': API_KEY } }],
]

test('without CORS_ORIGINS every origin, method and header is allowed, on errors too', async () => {
  await using service = await startTestApp()
  for (const [path, init] of REQUESTS) {
    const headers = { ...(init.headers as object), origin: 'https://a.example' }
    const response = await fetch(service.url + path, { ...init, headers })
    expect(corsOf(response)).toMatchObject({ 'allow-origin': '*', vary: null })
    expect(response.headers.get('access-control-expose-headers')).toBe(EXPOSED)
    expect(response.headers.has('access-control-allow-credentials')).toBe(false)
  }
  for (const path of [`${AT}/send`, '/nowhere', '/ws']) {
    const response = await fetch(service.url + path, { method: 'OPTIONS', headers: ASKED })
    expect([response.status, await response.text()]).toEqual([200, ''])
    expect(corsOf(response)).toEqual({
      'allow-origin': '*',
      'allow-methods': 'POST',
      'allow-headers': 'x-api-key,content-type',
      'max-age': '600',
      vary: null,
    })
  }
})

test('with CORS_ORIGINS only listed origins get CORS headers, on errors too', async () => {
  await using service = await startTestApp({ CORS_ORIGINS: 'https://a.example, http://b.example:81' })
  const foreign = [
    'https://c.example',
    'http://a.example',
    'https://a.example:444',
    'https://A.example',
    'null',
  ]
  const odd = ['x://https://a.example', 'constructor', '__proto__', 'https://a.example/']
  for (const [path, init] of REQUESTS)
    for (const origin of ['https://a.example', 'http://b.example:81', ...foreign, ...odd]) {
      const response = await fetch(service.url + path, {
        ...init,
        headers: { ...init.headers, origin } as never,
      })
      const allowed = foreign.includes(origin) || odd.includes(origin) ? undefined : origin
      expect([origin, corsOf(response)['allow-origin'], response.headers.get('vary')]).toEqual([
        origin,
        allowed,
        'Origin',
      ])
    }
  const response = await fetch(service.url + AT, { method: 'OPTIONS', headers: ASKED })
  expect([response.status, corsOf(response)]).toEqual([
    200,
    {
      'allow-origin': 'https://a.example',
      'allow-methods': 'GET, HEAD, POST, PUT, DELETE, OPTIONS',
      'allow-headers':
        'content-type, authorization, x-api-key, x-tenant-id, idempotency-key, last-event-id, x-request-id, traceparent, tracestate',
      'max-age': '600',
      vary: 'Origin',
    },
  ])
})

test('a send without an origin gets the constant CORS headers of all answers', async () => {
  for (const CORS_ORIGINS of ['', 'https://a.example']) {
    await using service = await startTestApp({ CORS_ORIGINS })
    const health = await fetch(`${service.url}/health`)
    const body = JSON.stringify({ event_type: 'x', payload: {}, target_user_id: 'u' })
    const sent = await fetch(`${service.url}${AT}/send`, {
      method: 'POST',
      headers: { 'x-api-key': API_KEY, 'content-type': 'application/json' },
      body,
    })
    expect([health.status, sent.status]).toEqual([200, 200])
    expect([corsOf(sent), sent.headers.get('access-control-expose-headers')]).toEqual([
      corsOf(health),
      EXPOSED,
    ])
  }
})

test.each([
  ['application/json', undefined, 200],
  ['Application/JSON', undefined, 200],
  ['application/json; charset=utf-8', undefined, 200],
  ['application/json;charset="UTF-8"', 'identity', 200],
  ['application/json; charset=utf8', 'Identity', 200],
  ['application/cloudevents+json; v=1', undefined, 200],
  ['application/json; charset=utf-16', undefined, 415],
  ['application/json; charset=iso-8859-1', undefined, 415],
  ['application/json, text/plain', undefined, 415],
  ['application/jsonp', undefined, 415],
  ['application/+json', undefined, 415],
  ['text/json', undefined, 415],
  ['text/plain', undefined, 415],
  ['application/x-www-form-urlencoded', undefined, 415],
  ['', undefined, 415],
  [undefined, undefined, 415],
  ['application/json', 'gzip', 415],
  ['application/json', 'br, identity', 415],
])('a body with Content-Type %j and Content-Encoding %j is answered %d', async (type, encoding, status) => {
  await using service = await startTestApp()
  const text = JSON.stringify(BODY)
  const lines = [
    `POST ${AT}/send HTTP/1.1`,
    'Host: x',
    `X-API-Key: ${API_KEY}`,
    `Content-Length: ${text.length}`,
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    ...(encoding === undefined ? [] : [`Content-Encoding: ${encoding}`]),
  ]
  using request = sendRaw(service.port, `${lines.join('\r\n')}\r\n\r\n${text}`)
  expect(statusOf(await request.answer)).toBe(status)
})

const chunkedHead = (key: string) =>
  `POST ${AT}/send HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\nContent-Type: ${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n`

test('a caller without a key is answered before its body ends, and its connection is closed', async () => {
  await using service = await startTestApp()
  using request = sendRaw(service.port, `${chunkedHead('wrong')}5\r\n{"a":\r\n`)
  expect([statusOf(await request.answer), codeOf(await request.answer)]).toEqual([401, 'UNAUTHORIZED'])
  await request.closed
})

test('a body whose Content-Length exceeds the cap is rejected unread', async () => {
  await using service = await startTestApp()
  const head = `POST ${AT}/send HTTP/1.1\r\nHost: x\r\nX-API-Key: ${API_KEY}\r\nContent-Type: ${JSON_TYPE}\r\n`
  using request = sendRaw(service.port, `${head}Content-Length: 65537\r\n\r\n`)
  expect([statusOf(await request.answer), codeOf(await request.answer)]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  await request.closed
})

test('a chunked body is accepted at the cap and rejected as soon as it exceeds it', async () => {
  await using service = await startTestApp()
  const text = JSON.stringify(BODY).padEnd(65_536)
  const piece = (at: number) => `1000\r\n${text.slice(at, at + 4096)}\r\n`
  const whole = Array.from({ length: 16 }, (_, n) => piece(n * 4096)).join('')
  using fits = sendRaw(service.port, `${chunkedHead(API_KEY)}${whole}0\r\n\r\n`)
  expect(statusOf(await fits.answer)).toBe(200)
  using over = sendRaw(service.port, `${chunkedHead(API_KEY)}${whole}1\r\n \r\n`)
  expect([statusOf(await over.answer), codeOf(await over.answer)]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  await over.closed
})

test('a caller that disconnects in the middle of its body causes no fault', async () => {
  await using service = await startTestApp()
  for (const head of [
    chunkedHead(API_KEY),
    chunkedHead(API_KEY).replace(/Transfer.*ed/, 'Content-Length: 99'),
  ]) {
    using request = sendRaw(service.port, `${head}5\r\n{"a":\r\n`)
    await service.get('/health')
    request[Symbol.dispose]()
    await request.closed
    await service.get('/health')
  }
  expect(service.lines.filter(({ level }) => level === 'error')).toEqual([])
  expect(service.app.stats.unhandledErrors).toBe(0)
})

test('each of several API keys is accepted, compared exactly', async () => {
  await using service = await startTestApp({ API_KEY: 'first-key-0123456789, second-key-0123456789' })
  const with_ = async (key: string) => (await service.post(`${AT}/send`, BODY, { 'x-api-key': key })).status
  for (const key of ['first-key-0123456789', 'second-key-0123456789']) expect(await with_(key)).toBe(200)
  const wrong = [
    '',
    'first-key-012345678',
    'first-key-01234567890',
    'First-key-0123456789',
    'second',
    API_KEY,
  ]
  for (const key of [...wrong, 'first-key-0123456789, second-key-0123456789'])
    expect(await with_(key)).toBe(401)
  expect(await outcome(service, 'POST', `${AT}/send`)).toEqual([401, 'UNAUTHORIZED'])
  expect(await outcome(service, 'POST', `${AT}/send?x-api-key=first-key-0123456789`)).toEqual([
    401,
    'UNAUTHORIZED',
  ])
})

test('in development without keys every route is open, and any key is ignored', async () => {
  await using service = await startTestApp({ API_KEY: '' })
  for (const headers of [{}, { 'x-api-key': 'anything' }, { 'x-api-key': '' }])
    expect((await service.post(`${AT}/send`, BODY, headers)).status).toBe(200)
})

const breaking = (part: Partial<Store['log']>) => (store: Store) => ({
  ...store,
  log: { ...store.log, ...part },
})
const fault = async (): Promise<never> => {
  throw new StoreAway('disk /var/lib/ara is full')
}

test.each(['production', 'development'])(
  'in %s a failing store rejects sends to users, but no sends to crowds',
  async mode => {
    const env = { RUN_MODE: mode, QUEUE_ENABLED: 'true' }
    await using service = await startTestApp(env, { wrapStore: breaking({ append: fault }) })
    for (const [path, target] of [
      ['/send', { target_user_id: 'u' }],
      ['/send-to-users', { target_user_ids: ['u'] }],
    ] as const) {
      const { status, headers, text, json } = await service.post(AT + path, { ...BODY, ...target })
      expect([status, json.error.code]).toEqual([503, 'STORE_UNAVAILABLE'])
      expect(headers.get('retry-after')).toBe('1')
      expect(text).not.toContain('/var')
    }
    for (const path of ['/broadcast', '/channel', '/channels'])
      expect((await service.post(AT + path, { channel: 'c', channels: ['c'], ...BODY })).status).toBe(200)
    expect((await service.post(`${AT}/send`, { ...BODY, ttl: 0 })).status).toBe(200)
    expect(JSON.stringify(service.lines)).toContain('disk /var/lib/ara is full')
  },
)

test('an internal error shows its message without paths in development only, and its stack in the log', async () => {
  // Causes an internal error: the caller expects a promise.
  const trace = (): never => {
    throw new Error('disk /var/lib/ara is full')
  }
  const options = { wrapStore: breaking({ report: trace }) }
  const path = `/api/v1/notifications/${crypto.randomUUID()}`
  const env = { QUEUE_ENABLED: 'true' }
  await using development = await startTestApp(env, options)
  await using production = await startTestApp({ ...env, RUN_MODE: 'production' }, options)
  const [open, masked] = [await development.get(path), await production.get(path)]
  expect([open.status, open.json]).toEqual([
    500,
    { error: { code: 'INTERNAL_ERROR', message: 'disk … is full' } },
  ])
  expect([masked.status, masked.json.error.code, Object.keys(masked.json.error)]).toEqual([
    500,
    'INTERNAL_ERROR',
    ['code', 'message'],
  ])
  expect(masked.text).not.toContain('disk')
  for (const { lines, app } of [development, production]) {
    expect(JSON.stringify(lines.filter(({ level }) => level === 'error'))).toContain('guard.test.ts')
    expect(app.stats.unhandledErrors).toBe(1)
  }
})

test('sends at the same time each get their own headers', async () => {
  await using service = await startTestApp()
  const send = async (n: number) => {
    const id = `request-${n}`
    const headers = { 'x-api-key': API_KEY, 'content-type': JSON_TYPE, 'x-request-id': id }
    // Every third repeats the key of the first, every fourth is rejected.
    const key: Record<string, string> = n % 3 === 0 ? { 'idempotency-key': 'k' } : {}
    const body = n % 4 === 3 ? '{' : JSON.stringify(BODY)
    const response = await fetch(`${service.url}${AT}/send`, {
      method: 'POST',
      headers: { ...headers, ...key },
      body,
    })
    await response.arrayBuffer()
    return [response.headers.get('x-request-id') === id, response.headers.get('idempotency-replayed')]
  }
  await send(0)
  const answers = await Promise.all(Array.from({ length: 48 }, (_, n) => send(n)))
  for (const [n, [isOwn, replayed]] of answers.entries())
    expect([n, isOwn, replayed]).toEqual([n, true, n % 3 === 0 && n % 4 !== 3 ? 'true' : null])
})
