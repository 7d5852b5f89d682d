import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { settle, socketOf, streamOf } from '../support/visit.ts'

const AT = '/api/v1/tenants'
const SEND = '/api/v1/notifications/send'
const ACME = { 'x-api-key': 'a-key-of-acme-0123456789' }
const ON = { TENANT_ENABLED: 'true', TENANT_API_KEYS: `acme:${ACME['x-api-key']}` }
const NOTHING = { active_connections: 0, total_connections: 0, messages_sent: 0, messages_delivered: 0 }

const sendIn = (app: TestApp, tenant: string, user = 'u') =>
  app.post(SEND, { target_user_id: user, event_type: 'e', payload: 1 }, { 'x-tenant-id': tenant })

test('tenants with a connection or with sends are listed by name with their counters', async () => {
  await using app = await startTestApp(ON)
  expect((await app.get(AT)).json).toEqual({ enabled: true, tenants: [], total: 0 })
  const claims = { tenant_id: 'globex' }
  using socket = await socketOf(app, 'u', { claims })
  using stream = await streamOf(app, 'v', { claims })
  using second = await socketOf(app, 'u', { claims })
  const gone = await socketOf(app, 'u')
  gone.close()
  await gone.closed
  for (const tenant of ['globex', 'acme', 'globex', 'Zeta', '0']) await sendIn(app, tenant)
  await sendIn(app, 'globex', 'v')
  for (const client of [socket, second]) await settle(client)
  await stream.nextOf('notification')
  const globex = {
    tenant_id: 'globex',
    stats: { active_connections: 3, total_connections: 3, messages_sent: 3, messages_delivered: 5 },
  }
  const sent = { ...NOTHING, messages_sent: 1 }
  const { status, json } = await app.get(AT)
  expect([status, json]).toEqual([
    200,
    {
      enabled: true,
      tenants: [
        { tenant_id: '0', stats: sent },
        { tenant_id: 'Zeta', stats: sent },
        { tenant_id: 'acme', stats: sent },
        { tenant_id: 'default', stats: { ...NOTHING, total_connections: 1 } },
        globex,
      ],
      total: 5,
    },
  ])
  expect((await app.get(`${AT}/globex`)).json).toEqual({
    ...globex,
    connection_stats: { total_connections: 3, unique_users: 2 },
  })
  expect((await app.get(`${AT}/default`)).json).toEqual({
    tenant_id: 'default',
    stats: { ...NOTHING, total_connections: 1 },
    connection_stats: { total_connections: 0, unique_users: 0 },
  })
})

test('a tenant without connections and sends is not found, and a look-up does not create it', async () => {
  await using app = await startTestApp(ON)
  for (const name of ['acme', 'default', 'globex', 'x'.repeat(64), '__proto__', 'constructor'])
    for (const headers of [{}, { 'x-tenant-id': name }]) {
      const { status, json } = await app.get(`${AT}/${name}`, headers)
      expect([name, status, json.error.code]).toEqual([name, 404, 'TENANT_NOT_FOUND'])
    }
  await app.get('/stats', { 'x-tenant-id': 'globex' })
  // A rejected send is no send.
  await app.post(SEND, {}, { 'x-tenant-id': 'globex' })
  expect((await app.get(AT)).json.total).toBe(0)
})

test('an invalid tenant and a malformed request are rejected', async () => {
  await using app = await startTestApp(ON)
  for (const [path, status, code] of [
    ['/a%20b', 400, 'VALIDATION_ERROR'],
    ['/a%3Ab', 400, 'VALIDATION_ERROR'],
    ['/a%2Fb', 400, 'VALIDATION_ERROR'],
    ['/%C3%A4', 400, 'VALIDATION_ERROR'],
    ['/*', 400, 'VALIDATION_ERROR'],
    [`/${'x'.repeat(65)}`, 400, 'VALIDATION_ERROR'],
    ['/%zz', 400, 'VALIDATION_ERROR'],
    ['/%ff', 400, 'VALIDATION_ERROR'],
    ['/', 404, 'NOT_FOUND'],
    ['/a/b', 404, 'NOT_FOUND'],
    ['/a/', 404, 'NOT_FOUND'],
  ] as const) {
    const answer = await app.get(AT + path)
    expect([path, answer.status, answer.json.error.code]).toEqual([path, status, code])
  }
  expect((await app.get(`${AT}/a%20b`)).json.error.details).toEqual([
    { path: 'tenant_id', message: expect.any(String) },
  ])
  for (const path of [AT, `${AT}/acme`]) {
    expect((await fetch(app.url + path)).status).toBe(401)
    expect((await app.post(path, {})).status).toBe(405)
  }
})

test('a bound key sees only its own tenant', async () => {
  await using app = await startTestApp(ON)
  for (const tenant of ['acme', 'globex', 'default']) await sendIn(app, tenant)
  const own = { tenant_id: 'acme', stats: { ...NOTHING, messages_sent: 1 } }
  expect((await app.get(AT, ACME)).json).toEqual({ enabled: true, tenants: [own], total: 1 })
  expect((await app.get(`${AT}/acme`, ACME)).json).toMatchObject(own)
  const [foreign, unknown] = await Promise.all(
    ['globex', 'never'].map(async name => (await app.get(`${AT}/${name}`, ACME)).text),
  )
  expect(foreign).toBe(unknown)
  expect(foreign).toContain('TENANT_NOT_FOUND')
  // X-Tenant-ID does not filter the list of an unbound key.
  expect((await app.get(AT, { 'x-tenant-id': 'acme' })).json.total).toBe(3)
})

test('a bound key of an unused tenant sees no tenant', async () => {
  await using app = await startTestApp(ON)
  await sendIn(app, 'globex')
  expect((await app.get(AT, ACME)).json).toEqual({ enabled: true, tenants: [], total: 0 })
  expect((await app.get(`${AT}/acme`, ACME)).status).toBe(404)
})

test('with tenancy off every key sees at most the tenant `default`', async () => {
  await using app = await startTestApp({ ...ON, TENANT_ENABLED: 'false' })
  expect((await app.get(AT)).json).toEqual({ enabled: false, tenants: [], total: 0 })
  expect((await app.get(`${AT}/default`)).status).toBe(404)
  using _ = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
  await sendIn(app, 'globex')
  const stats = { active_connections: 1, total_connections: 1, messages_sent: 1, messages_delivered: 1 }
  for (const headers of [{}, ACME, { 'x-tenant-id': 'acme' }]) {
    expect((await app.get(AT, headers)).json).toEqual({
      enabled: false,
      tenants: [{ tenant_id: 'default', stats }],
      total: 1,
    })
    expect((await app.get(`${AT}/default`, headers)).json).toEqual({
      tenant_id: 'default',
      stats,
      connection_stats: { total_connections: 1, unique_users: 1 },
    })
    expect((await app.get(`${AT}/acme`, headers)).status).toBe(404)
  }
})
