import { describe, expect, test } from 'bun:test'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { waysTo } from '../support/tenants.ts'
import { settle, socketOf } from '../support/visit.ts'

const SEND = '/api/v1/notifications/send'
const ACME = 'a-key-of-acme-0123456789'
const ACME_TOO = 'another-key-of-acme-0123456789'
const GLOBEX = 'a-key-of-globex:with-a-colon'
const KEYS = { TENANT_API_KEYS: `acme:${ACME},globex:${GLOBEX},acme:${ACME_TOO}` }
const BODY = { target_user_id: 'u', event_type: 'e', payload: 1 }

/** Sends raw HTTP: fetch omits empty headers. */
async function ask(app: TestApp, headers: readonly string[], body = JSON.stringify(BODY)) {
  const socket = await Bun.connect<{ answer: PromiseWithResolvers<string> }>({
    hostname: '127.0.0.1',
    port: app.port,
    data: { answer: Promise.withResolvers() },
    socket: { data: ({ data }, bytes) => data.answer.resolve(bytes.toString()) },
  })
  const head = ['Host: x', 'Content-Type: application/json', `Content-Length: ${body.length}`, ...headers]
  socket.write(`POST ${SEND} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${body}`)
  const answer = await socket.data.answer.promise
  socket.end()
  return { status: Number(answer.split(' ', 2)[1]), json: JSON.parse(answer.split('\r\n\r\n')[1] ?? '') }
}

const keyOf = (key: string) => `X-API-Key: ${key}`
const tenantOf = (tenant: string) => `X-Tenant-ID: ${tenant}`

describe('a caller belongs to the tenant', () => {
  const ROWS: readonly (readonly [what: string, headers: Record<string, string>, tenant: string])[] = [
    ['default without a header', { 'x-api-key': API_KEY }, 'default'],
    ['of the header', { 'x-api-key': API_KEY, 'x-tenant-id': 'acme' }, 'acme'],
    ['of the header, which may say default', { 'x-api-key': API_KEY, 'x-tenant-id': 'default' }, 'default'],
    ['of its key', { 'x-api-key': ACME }, 'acme'],
    ['of its second key', { 'x-api-key': ACME_TOO }, 'acme'],
    ['of its key with a colon', { 'x-api-key': GLOBEX }, 'globex'],
    ['of its key, named again', { 'x-api-key': GLOBEX, 'x-tenant-id': 'globex' }, 'globex'],
  ]
  for (const [what, headers, tenant] of ROWS)
    test(`${what}, for every kind of send`, async () => {
      await using app = await startTestApp({ ...KEYS, TENANT_ENABLED: 'true' })
      const tenants = ['default', 'acme', 'globex']
      const clients = await Promise.all(
        tenants.map(name => socketOf(app, 'u', { claims: name === 'default' ? {} : { tenant_id: name } })),
      )
      for (const client of clients) {
        client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
        await client.nextOf('subscribed')
      }
      const ways = waysTo('u', 'c')
      for (const [n, way] of ways.entries()) {
        const { status, json } = await app.post(way.path, way.body(n), headers)
        expect([way.name, status, (json.results?.[0] ?? json).delivered_to]).toEqual([way.name, 200, 1])
      }
      for (const [n, client] of clients.entries()) {
        const payloads = (await settle(client)).map(({ payload }) => payload)
        expect([tenants[n], payloads]).toEqual([tenants[n], tenants[n] === tenant ? [...ways.keys()] : []])
        client.close()
      }
    })

  test('of the header if no keys are configured', async () => {
    await using app = await startTestApp({ API_KEY: '', TENANT_ENABLED: 'true' })
    using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
    expect((await app.post(SEND, BODY, { 'x-tenant-id': 'acme' })).json.delivered_to).toBe(1)
    expect((await app.post(SEND, BODY)).json.delivered_to).toBe(0)
    expect(await settle(client)).toHaveLength(1)
  })

  test('of its bound key, also if there are no other keys', async () => {
    await using app = await startTestApp({ ...KEYS, API_KEY: '', TENANT_ENABLED: 'true' })
    expect((await app.post(SEND, BODY, { 'x-api-key': API_KEY })).status).toBe(401)
    expect((await app.post(SEND, BODY, { 'x-api-key': ACME })).status).toBe(200)
  })
})

describe('a caller is rejected', () => {
  const NOT = ['a b', 'a:b', 'a/b', 'a,b', 'ä', '*', 'x'.repeat(65)]

  test('with 403 if its key is bound to another tenant, before its body is read', async () => {
    await using app = await startTestApp({ ...KEYS, TENANT_ENABLED: 'true' })
    for (const [key, tenant] of [
      [ACME, 'globex'],
      [ACME_TOO, 'default'],
      [GLOBEX, 'Globex'],
    ] as const) {
      const { status, json } = await ask(app, [keyOf(key), tenantOf(tenant)], 'no JSON at all')
      expect([tenant, status, json.error.code]).toEqual([tenant, 403, 'FORBIDDEN'])
    }
    const lines = app.lines.filter(line => line['event'] === 'auth.refused')
    expect(lines).toHaveLength(3)
    expect(lines[0]).toMatchObject({ kind: 'api_key', reason: 'key of another tenant' })
    for (const secret of [ACME, ACME_TOO, GLOBEX]) expect(JSON.stringify(app.lines)).not.toContain(secret)
  })

  test('with 400 if the header is no valid tenant name', async () => {
    await using app = await startTestApp({ ...KEYS, TENANT_ENABLED: 'true' })
    for (const key of [API_KEY, ACME])
      for (const tenant of ['', ...NOT]) {
        const { status, json } = await ask(app, [keyOf(key), tenantOf(tenant)])
        expect([tenant, status, json.error.code]).toEqual([tenant, 400, 'VALIDATION_ERROR'])
        expect(json.error.details).toEqual([{ path: 'X-Tenant-ID', message: expect.any(String) }])
      }
    const twice = await ask(app, [keyOf(API_KEY), tenantOf('acme'), tenantOf('globex')])
    expect([twice.status, twice.json.error.code]).toEqual([400, 'VALIDATION_ERROR'])
    expect((await ask(app, [keyOf(API_KEY), tenantOf('A-z_0.9'.padEnd(64, 'x'))])).status).toBe(200)
  })

  test('with 401 before anything else if its key is wrong', async () => {
    await using app = await startTestApp({ ...KEYS, TENANT_ENABLED: 'true' })
    for (const key of ['wrong', `acme:${ACME}`, ACME.toUpperCase(), `${ACME},${GLOBEX}`])
      for (const tenant of ['acme', 'a b']) {
        const { status, json } = await ask(app, [keyOf(key), tenantOf(tenant)])
        expect([key, status, json.error.code]).toEqual([key, 401, 'UNAUTHORIZED'])
      }
  })

  test('on no path that is open, whatever the header', async () => {
    await using app = await startTestApp({ TENANT_ENABLED: 'true' })
    expect((await app.get('/health', { 'x-tenant-id': 'a b' })).status).toBe(200)
    expect((await app.get('/nowhere', { 'x-tenant-id': 'a b' })).status).toBe(404)
  })
})

test('with tenancy off all is one tenant; headers, claims and bound keys are ignored', async () => {
  await using app = await startTestApp(KEYS)
  const clients = [
    await socketOf(app, 'u'),
    await socketOf(app, 'u', { claims: { tenant_id: 'acme' } }),
    await socketOf(app, 'u', { claims: { tenant_id: 'no tenant at all' } }),
  ]
  const headers = [
    [keyOf(API_KEY)],
    [keyOf(API_KEY), tenantOf('acme')],
    [keyOf(API_KEY), tenantOf('a b')],
    [keyOf(ACME)],
    [keyOf(ACME), tenantOf('globex')],
    [keyOf(GLOBEX), tenantOf('')],
  ]
  for (const each of headers)
    expect(await ask(app, each)).toMatchObject({ status: 200, json: { delivered_to: 3 } })
  for (const client of clients) {
    expect(await settle(client)).toHaveLength(headers.length)
    client.close()
  }
})
