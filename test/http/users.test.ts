import { describe, expect, test } from 'bun:test'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { socketOf, streamOf } from '../support/visit.ts'

const AT = '/api/v1/users'
const TENANTS = { TENANT_ENABLED: 'true' }
const seconds = () => Math.floor(Date.now() / 1000)

/** Sends no Content-Type unless one is given. */
async function disconnect(app: TestApp, path: string, body?: string | Uint8Array, type?: string) {
  const response = await fetch(`${app.url}${AT}/${path}/disconnect`, {
    method: 'POST',
    headers: { 'x-api-key': API_KEY, ...(type && { 'content-type': type }) },
    ...(body !== undefined && { body }),
  })
  const text = await response.text()
  return { status: response.status, json: JSON.parse(text), text }
}

describe('the subscriptions of a user', () => {
  test('are those of all its connections, each once, sorted', async () => {
    await using app = await startTestApp()
    using first = await socketOf(app, 'u')
    using second = await socketOf(app, 'u')
    using other = await socketOf(app, 'other')
    using _ = await streamOf(app, 'u')
    expect((await app.get(`${AT}/u/subscriptions`)).json).toEqual({
      user_id: 'u',
      connection_count: 3,
      subscriptions: [],
    })
    for (const [client, channels] of [
      [first, ['b', 'Größe', 'a']],
      [second, ['a', '__proto__', 'B']],
      [other, ['z']],
    ] as const) {
      client.send({ type: 'Subscribe', payload: { channels } })
      await client.nextOf('subscribed')
    }
    const { status, json } = await app.get(`${AT}/u/subscriptions`)
    expect([status, json]).toEqual([
      200,
      { user_id: 'u', connection_count: 3, subscriptions: ['B', 'Größe', '__proto__', 'a', 'b'] },
    ])
    first.send({ type: 'Unsubscribe', payload: { channels: ['a', 'b'] } })
    await first.nextOf('unsubscribed')
    second.close()
    await second.closed
    expect((await app.get(`${AT}/u/subscriptions`)).json).toEqual({
      user_id: 'u',
      connection_count: 2,
      subscriptions: ['Größe'],
    })
  })

  test('are not found without a connection', async () => {
    await using app = await startTestApp()
    const client = await socketOf(app, 'u')
    client.close()
    await client.closed
    for (const user of ['u', 'never'])
      expect(await app.get(`${AT}/${user}/subscriptions`)).toMatchObject({
        status: 404,
        json: { error: { code: 'USER_NOT_CONNECTED' } },
      })
  })
})

test('presence counts WebSocket and SSE connections and reveals no nodes', async () => {
  await using app = await startTestApp()
  const presence = async () => (await app.get(`${AT}/u/presence`)).json
  expect(await presence()).toEqual({ user_id: 'u', online: false, connections: 0 })
  using socket = await socketOf(app, 'u')
  expect(await presence()).toEqual({ user_id: 'u', online: true, connections: 1 })
  using stream = await streamOf(app, 'u')
  await stream.nextOf('connected')
  expect(await presence()).toEqual({ user_id: 'u', online: true, connections: 2 })
  socket.close()
  await socket.closed
  expect(await presence()).toEqual({ user_id: 'u', online: true, connections: 1 })
})

test('a user id is one segment, percent-decoded, whatever characters it has', async () => {
  await using app = await startTestApp()
  for (const user of [
    'a/b',
    'ä ö',
    'a?b#c',
    '%',
    '.a.',
    'disconnect',
    'user:default:x',
    '😀',
    'x'.repeat(256),
  ]) {
    using client = await socketOf(app, user)
    const path = encodeURIComponent(user)
    const presence = (await app.get(`${AT}/${path}/presence`)).json
    expect(presence).toEqual({ user_id: user, online: true, connections: 1 })
    expect((await app.get(`${AT}/${path}/subscriptions`)).json.user_id).toBe(user)
    expect((await disconnect(app, path)).json).toEqual({ user_id: user, disconnected: 1 })
    expect(await client.closed).toMatchObject({ code: 4403 })
  }
})

test('an invalid user id is answered like an unknown user', async () => {
  await using app = await startTestApp()
  for (const user of ['%00', '%0A', 'a%7Fb', '%C2%85', 'x'.repeat(257), '%F0%9F%98%80'.repeat(65)]) {
    const id = decodeURIComponent(user)
    expect(await app.get(`${AT}/${user}/presence`)).toMatchObject({
      status: 200,
      json: { user_id: id, online: false, connections: 0 },
    })
    const { status, json } = await app.get(`${AT}/${user}/subscriptions`)
    expect([status, json.error.code]).toEqual([404, 'USER_NOT_CONNECTED'])
    for (const body of [undefined, '{"issued_before":5}']) {
      const answer = await disconnect(app, user, body, body && 'application/json')
      expect([answer.status, answer.json]).toEqual([200, { user_id: id, disconnected: 0 }])
    }
  }
})

test('a malformed request is rejected', async () => {
  await using app = await startTestApp()
  for (const [method, path, status, code] of [
    ['GET', '/%zz/presence', 400, 'VALIDATION_ERROR'],
    ['GET', '/%ff/presence', 400, 'VALIDATION_ERROR'],
    ['GET', '/%zz/subscriptions', 400, 'VALIDATION_ERROR'],
    ['GET', '/%c3%28/subscriptions', 400, 'VALIDATION_ERROR'],
    ['POST', '/%zz/disconnect', 400, 'VALIDATION_ERROR'],
    ['POST', '/%ff/disconnect', 400, 'VALIDATION_ERROR'],
    ['GET', '', 404, 'NOT_FOUND'],
    ['GET', '/u', 404, 'NOT_FOUND'],
    ['GET', '/u/', 404, 'NOT_FOUND'],
    ['GET', '//presence', 404, 'NOT_FOUND'],
    ['GET', '/u/presence/', 404, 'NOT_FOUND'],
    ['GET', '/u/Presence', 404, 'NOT_FOUND'],
    ['GET', '/a/b/presence', 404, 'NOT_FOUND'],
    ['GET', '/u/disconnect', 405, 'METHOD_NOT_ALLOWED'],
    ['POST', '/u/presence', 405, 'METHOD_NOT_ALLOWED'],
    ['DELETE', '/u/subscriptions', 405, 'METHOD_NOT_ALLOWED'],
  ] as const) {
    const response = await fetch(`${app.url}${AT}${path}`, { method, headers: { 'x-api-key': API_KEY } })
    const { error } = (await response.json()) as { readonly error: { readonly code: string } }
    expect([method, path, response.status, error.code]).toEqual([method, path, status, code])
  }
  for (const path of ['/u/presence', '/u/subscriptions', '/u/disconnect']) {
    const method = path.endsWith('disconnect') ? 'POST' : 'GET'
    expect([path, (await fetch(`${app.url}${AT}${path}`, { method })).status]).toEqual([path, 401])
  }
})

test('a tenant neither sees nor disconnects the same user of another tenant', async () => {
  await using app = await startTestApp({ ...TENANTS, TENANT_API_KEYS: 'acme:a-key-of-acme-0123456789' })
  using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
  client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await client.nextOf('subscribed')
  for (const headers of [{}, { 'x-tenant-id': 'globex' }]) {
    expect((await app.get(`${AT}/u/presence`, headers)).json.online).toBe(false)
    expect((await app.get(`${AT}/u/subscriptions`, headers)).status).toBe(404)
    const revoke = { issued_before: seconds() + 60 }
    expect((await app.post(`${AT}/u/disconnect`, revoke, headers)).json.disconnected).toBe(0)
  }
  using _ = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
  for (const headers of [{ 'x-tenant-id': 'acme' }, { 'x-api-key': 'a-key-of-acme-0123456789' }]) {
    expect((await app.get(`${AT}/u/presence`, headers)).json.connections).toBe(2)
    expect((await app.get(`${AT}/u/subscriptions`, headers)).json.subscriptions).toEqual(['c'])
  }
  expect((await app.post(`${AT}/u/disconnect`, {}, { 'x-tenant-id': 'acme' })).json.disconnected).toBe(2)
})

describe('a disconnect', () => {
  const NO_BODY: readonly [what: string, body?: string | Uint8Array, type?: string][] = [
    ['without a body'],
    ['with an empty body', ''],
    ['with an empty body of JSON', '', 'application/json'],
    ['with an empty body of something', '', 'text/plain'],
    ['with an empty object', '{}', 'application/json'],
    ['with nulls', '{"reason":null,"issued_before":null}', 'application/json; charset=utf-8'],
    ['with what it does not know', '{"Reason":5,"code":1}', 'application/vnd.api+json'],
  ]
  for (const [what, body, type] of NO_BODY)
    test(`${what} closes every connection of the user and no other, and the user may reconnect`, async () => {
      await using app = await startTestApp()
      using first = await socketOf(app, 'u')
      using second = await socketOf(app, 'u', { cursor: '' })
      using other = await socketOf(app, 'other')
      expect(await disconnect(app, 'u', body, type)).toMatchObject({
        status: 200,
        json: { user_id: 'u', disconnected: 2 },
      })
      for (const client of [first, second])
        expect(await client.closed).toEqual({ code: 4403, reason: 'disconnected by the backend' })
      expect((await app.get('/health')).json.connections.total).toBe(1)
      using _ = await socketOf(app, 'u')
      other.send({ type: 'Ping' })
      expect(await other.nextOf('pong')).toEqual({ type: 'pong' })
    })

  test('of a user without a connection succeeds', async () => {
    await using app = await startTestApp()
    expect((await app.post(`${AT}/nobody/disconnect`, {})).json).toEqual({
      user_id: 'nobody',
      disconnected: 0,
    })
  })

  for (const reason of ['you have moved', 'x'.repeat(120), 'ü'.repeat(60), '😀'.repeat(30), '', 'a\nb\u0000'])
    test(`carries its reason in the close frame and on a stream: ${JSON.stringify(reason).slice(0, 20)}`, async () => {
      await using app = await startTestApp()
      using socket = await socketOf(app, 'u')
      using stream = await streamOf(app, 'u')
      const { status, json } = await app.post(`${AT}/u/disconnect`, { reason })
      expect([status, json.disconnected]).toEqual([200, 2])
      expect(await socket.closed).toEqual({ code: 4403, reason })
      await stream.closed
      expect(stream.inbox.all.at(-1)).toMatchObject({
        event: 'error',
        data: { type: 'error', code: 'FORBIDDEN', message: reason },
      })
    })

  test('ends a stream with an error event', async () => {
    await using app = await startTestApp()
    using stream = await streamOf(app, 'u')
    expect((await app.post(`${AT}/u/disconnect`, {})).json.disconnected).toBe(1)
    await stream.closed
    const data = { type: 'error', code: 'FORBIDDEN', message: 'disconnected by the backend' }
    expect(stream.inbox.all.at(-1)).toMatchObject({ event: 'error', data })
  })

  const WRONG: readonly [body: string, status: number, code: string, path?: string][] = [
    ['[]', 422, 'VALIDATION_ERROR', ''],
    ['null', 422, 'VALIDATION_ERROR', ''],
    ['"x"', 422, 'VALIDATION_ERROR', ''],
    ['5', 422, 'VALIDATION_ERROR', ''],
    ['{"reason":5}', 422, 'VALIDATION_ERROR', 'reason'],
    ['{"reason":["x"]}', 422, 'VALIDATION_ERROR', 'reason'],
    [`{"reason":"${'x'.repeat(121)}"}`, 422, 'VALIDATION_ERROR', 'reason'],
    [`{"reason":"${'ü'.repeat(61)}"}`, 422, 'VALIDATION_ERROR', 'reason'],
    ['{"reason":"\\ud800"}', 422, 'VALIDATION_ERROR', 'reason'],
    ['{"reason":"a","reason":"b"}', 422, 'VALIDATION_ERROR', 'reason'],
    ['{"issued_before":"5"}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":5.5}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":5.0}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":5e3}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":-1}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":1767323045678}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":1e400}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":true}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":[5]}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":{"seconds":5}}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":""}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":"2026-01-02"}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":"2026-02-30T00:00:00Z"}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":"yesterday"}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{"issued_before":5,"issued_before":6}', 422, 'VALIDATION_ERROR', 'issued_before'],
    ['{', 400, 'INVALID_JSON'],
    [' ', 400, 'INVALID_JSON'],
    ['{}x', 400, 'INVALID_JSON'],
    ['\ufeff{}', 400, 'INVALID_JSON'],
    [`{"x":${'['.repeat(64)}${']'.repeat(64)}}`, 400, 'INVALID_JSON'],
    [`{"x":"${'x'.repeat(65_529)}"}`, 413, 'PAYLOAD_TOO_LARGE'],
  ]
  test.each(['1795869230.123', '1767323045678', '-1', '"yesterday"', 'true'])(
    'with `issued_before` %s is told which two forms are accepted',
    async before => {
      await using app = await startTestApp()
      const { json } = await disconnect(app, 'u', `{"issued_before":${before}}`, 'application/json')
      expect(json.error.message).toStartWith(
        'issued_before: expected whole seconds since 1970 or an RFC 3339 timestamp such as 2026-01-02T03:04:05Z',
      )
    },
  )

  test('with an invalid body is rejected with the path of the fault, and closes and revokes nothing', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    for (const [body, status, code, path] of WRONG) {
      const answer = await disconnect(app, 'u', body, 'application/json')
      const details = answer.json.error.details?.map((fault: { path: string }) => fault.path)
      expect([body.slice(0, 60), answer.status, answer.json.error.code, details]).toEqual([
        body.slice(0, 60),
        status,
        code,
        path === undefined ? undefined : [path],
      ])
    }
    for (const type of [undefined, 'text/plain', 'application/json; charset=latin1'])
      expect([type, (await disconnect(app, 'u', Buffer.from('{}'), type)).status]).toEqual([type, 415])
    client.send({ type: 'Ping' })
    expect(await client.next()).toEqual({ type: 'pong' })
    using _ = await socketOf(app, 'u')
  })

  test('accepts a body of 65,536 bytes', async () => {
    await using app = await startTestApp()
    const body = `{"x":"${'x'.repeat(65_528)}"}`
    expect(body).toHaveLength(65_536)
    expect((await disconnect(app, 'u', body, 'application/json')).status).toBe(200)
  })
})
