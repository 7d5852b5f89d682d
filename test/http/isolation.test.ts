import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { sendIn, waysTo } from '../support/tenants.ts'
import { untilRedisIs } from '../support/trigger.ts'
import { settle, socketOf, streamOf } from '../support/visit.ts'

/** Names that would collide if a separator joined them. */
const STRANGERS = ['a.b', 'a_b', 'b']
const KEY = { 'x-api-key': 'a-key-of-tenant-a-0123456789' }
const AT = '/api/v1'
const ENV = {
  TENANT_ENABLED: 'true',
  TENANT_API_KEYS: `a:${KEY['x-api-key']}`,
  QUEUE_ENABLED: 'true',
  ACK_ENABLED: 'true',
}
const TEMPLATE = { id: 't', name: 'T', event_type: 'e', payload_template: {} }

/** A tenant with one of everything: users `u` and `w`, channel `c`, template `t`. */
async function settleIn(app: TestApp, tenant: string) {
  const claims = { tenant_id: tenant }
  const headers = { 'x-tenant-id': tenant }
  const socket = await socketOf(app, 'u', { claims })
  const stream = await streamOf(app, 'v', { claims })
  await stream.nextOf('connected')
  socket.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await socket.nextOf('subscribed')
  const kept = await app.post(
    `${AT}/notifications/send`,
    { target_user_id: 'w', event_type: 'secret', payload: tenant },
    headers,
  )
  expect((await app.post(`${AT}/templates`, TEMPLATE, headers)).status).toBe(201)
  const { json } = await app.get(`${AT}/users/w/notifications`, headers)
  return { tenant, claims, headers, socket, stream, id: kept.json.notification_id, cursor: json.cursor }
}

type Settled = Awaited<ReturnType<typeof settleIn>>

/** All look-ups of a tenant, without values that change with time. */
async function lookAt(app: TestApp, { tenant, headers, id }: Settled) {
  const paths = [
    'channels',
    'channels/c',
    'users/u/subscriptions',
    'users/u/presence',
    'users/w/notifications',
    `notifications/${id}`,
    'templates',
    `tenants/${tenant}`,
  ]
  const found = await Promise.all(paths.map(path => app.get(`${AT}/${path}`, headers)))
  return [...found, await app.get('/stats', headers)].map(({ status, json }) => [status, json])
}

/** Every documented route for callers and clients: method and pattern. */
async function documented(): Promise<readonly string[]> {
  const text = await Bun.file(`${import.meta.dir}/../../docs/API.md`).text()
  const rows = [...text.matchAll(/^\| ([A-Z, ]+) \| (.+?) \| (?:API key|token)[^|]*\|/gm)]
  return rows.flatMap(([, methods = '', paths = '']) =>
    methods
      .split(', ')
      .flatMap(method => [...paths.matchAll(/`(.+?)`/g)].map(([, path]) => `${method} ${path}`)),
  )
}

test('a tenant sees and changes nothing of another tenant with the same names', async () => {
  await using redis = await startRedis()
  await using app = await startTestApp({ ...ENV, REDIS_URL: redis.url })
  await untilRedisIs(app, ({ connected }) => connected)
  const strangers: Settled[] = []
  for (const tenant of STRANGERS) strangers.push(await settleIn(app, tenant))
  const before = await Promise.all(strangers.map(stranger => lookAt(app, stranger)))
  const walked = new Set<string>()
  const ids = strangers.map(({ id }) => id)

  const ask = async (method: string, pattern: string, path: string, body?: unknown) => {
    walked.add(`${method} ${pattern}`)
    const response = await fetch(app.url + path, {
      method,
      headers: { ...KEY, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const asked = path + JSON.stringify(body)
    for (const id of ids) if (!asked.includes(id)) expect(text).not.toContain(id)
    expect(text).not.toContain('secret')
    const json = text === '' ? undefined : JSON.parse(text)
    return [response.status, json?.error?.code ?? json]
  }
  const look = (pattern: string, path = pattern) => ask('GET', AT + pattern, AT + path)

  // Look-ups.
  expect(await look('/channels')).toEqual([200, { channels: [], total_channels: 0 }])
  expect(await look('/channels/{name}', '/channels/c')).toEqual([404, 'CHANNEL_NOT_FOUND'])
  expect(await look('/users/{user_id}/subscriptions', '/users/u/subscriptions')).toEqual([
    404,
    'USER_NOT_CONNECTED',
  ])
  expect(await look('/users/{user_id}/presence', '/users/u/presence')).toEqual([
    200,
    { user_id: 'u', online: false, connections: 0 },
  ])
  expect(await look('/users/{user_id}/notifications', '/users/w/notifications')).toMatchObject([
    200,
    { notifications: [], recovered: true },
  ])
  for (const id of ids)
    expect(await look('/notifications/{id}', `/notifications/${id}`)).toEqual([404, 'NOTIFICATION_NOT_FOUND'])
  expect(await look('/templates')).toEqual([200, { templates: [], total: 0 }])
  expect(await look('/templates/{id}', '/templates/t')).toEqual([404, 'TEMPLATE_NOT_FOUND'])
  for (const { tenant } of strangers)
    expect(await look('/tenants/{tenant_id}', `/tenants/${tenant}`)).toEqual([404, 'TENANT_NOT_FOUND'])
  expect(await look('/tenants')).toEqual([200, { enabled: true, tenants: [], total: 0 }])
  expect(await look('/cluster')).toEqual([403, 'FORBIDDEN'])
  expect(await ask('GET', '/stats', '/stats')).toMatchObject([
    200,
    {
      connections: { total_connections: 0, unique_users: 0, channels: {} },
      notifications: { total_sent: 0 },
    },
  ])

  // Changes.
  expect(await ask('PUT', `${AT}/templates/{id}`, `${AT}/templates/t`, { name: 'X' })).toEqual([
    404,
    'TEMPLATE_NOT_FOUND',
  ])
  expect(await ask('DELETE', `${AT}/templates/{id}`, `${AT}/templates/t`)).toEqual([
    404,
    'TEMPLATE_NOT_FOUND',
  ])
  const templated = { target_user_id: 'u', template_id: 't' }
  expect(await ask('POST', `${AT}/notifications/send`, `${AT}/notifications/send`, templated)).toEqual([
    400,
    'VALIDATION_ERROR',
  ])
  expect(
    await ask('POST', `${AT}/templates`, `${AT}/templates`, { ...TEMPLATE, name: 'mine' }),
  ).toMatchObject([201, { name: 'mine' }])
  for (const way of waysTo('u', 'c', { type: 'Users', value: ['u', 'v'] })) {
    const [status, json] = await ask('POST', way.path, way.path, way.body('of a'))
    expect([way.name, status, (json.results?.[0] ?? json).delivered_to]).toEqual([way.name, 200, 0])
  }
  const issued_before = Math.floor(Date.now() / 1000) + 1_000
  expect(
    await ask('POST', `${AT}/users/{user_id}/disconnect`, `${AT}/users/u/disconnect`, { issued_before }),
  ).toEqual([200, { user_id: 'u', disconnected: 0 }])
  await redis.publish('notification:user:w', {
    type: 'users',
    target: ['u', 'w'],
    tenant_id: 'a',
    event: { event_type: 'e', payload: 'of a' },
  })

  // Messages of a client of A: `w`, since the tokens of `u` were revoked above.
  const claims = { tenant_id: 'a', iat: Math.floor(Date.now() / 1000) }
  const token = await app.token('w', claims)
  const me = async (method: string, path: string, body?: unknown) => {
    const [status, json] = await ask(method, path, `${path}?token=${token}`, body)
    return { status, json }
  }
  const client = await socketOf(app, 'w', { claims })
  walked.add('GET /ws')
  expect((await client.nextOf('notification')).payload).toBe('of a')
  const own = (await me('GET', `${AT}/me/notifications`)).json.notifications as Message[]
  expect(own.map(({ payload }) => payload)).toEqual(['of a'])
  expect((await me('POST', `${AT}/me/acks`, { notification_ids: ids })).json).toEqual({
    acked: [],
    invalid: ids,
  })
  client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await client.nextOf('subscribed')
  for (const { id } of strangers) {
    client.send({ type: 'Ack', payload: { notification_id: id } })
    expect(await client.next()).toMatchObject({ type: 'error', code: 'INVALID_ACK' })
  }
  const stream = await streamOf(app, 'v', { claims })
  walked.add('GET /sse')
  await stream.nextOf('connected')

  // No other tenant received or lost anything.
  for (const [n, stranger] of strangers.entries()) {
    expect(await settle(stranger.socket)).toEqual([])
    expect(await lookAt(app, stranger)).toEqual(before[n] as never)
    for (const way of waysTo('u', 'c')) await sendIn(app, stranger.tenant, way, `of ${stranger.tenant}`)
    const heard = (await settle(stranger.socket)).map(({ payload }) => payload)
    expect([...new Set(heard)]).toEqual([`of ${stranger.tenant}`])
    expect((await stranger.stream.nextOf('notification')).data.payload).toBe(`of ${stranger.tenant}`)
  }
  expect(await settle(client)).toEqual([])
  expect(stream.inbox.all.filter(({ event }) => event === 'notification')).toEqual([])

  // A token of another user closes the connection.
  client.send({ type: 'Auth', payload: { token: await app.token('w', { tenant_id: 'b' }) } })
  expect(await client.next()).toMatchObject({ type: 'error', code: 'FORBIDDEN' })
  expect((await client.closed).code).toBe(4401)

  expect([...walked].sort()).toEqual([...new Set(await documented())].map(withoutUpgrade).sort())
}, 30_000)

const withoutUpgrade = (route: string): string => route.replace(' (upgrade)', '')
