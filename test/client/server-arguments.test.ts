import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { type ApiErrorCode, type AraError, createServerClient } from '../../client/src/server/index.ts'
import type { HttpErrorCode } from '../../src/errors.ts'
import { API_KEY, SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { bundledClient } from '../support/built-client.ts'
import { connectSocket } from '../support/client.ts'
import { socketOf } from '../support/visit.ts'

const EVENT = { event_type: 'e', payload: 1 }
const ADDRESS = 'http://127.0.0.1:9'
const BUILD_MS = 60_000

/** A client as JavaScript sees it: any argument goes. */
// biome-ignore lint/suspicious/noExplicitAny: the tests pass what types forbid.
const anyClient: (options: unknown) => any = options => createServerClient(options as never)

/** A client that must not send. */
const silentClient = (options: object = {}) =>
  anyClient({
    url: ADDRESS,
    secret: SECRET,
    fetch: () => Promise.reject(new Error('it was sent')),
    retries: 0,
    ...options,
  })

const errorOf = async (call: () => unknown): Promise<unknown> => {
  try {
    return await call()
  } catch (error) {
    return error
  }
}

const invalid = (message: string) =>
  expect.objectContaining({
    name: 'AraError',
    code: 'INVALID_ARGUMENT',
    status: 0,
    message: expect.stringContaining(message),
  })

const keptFor = async (service: TestApp, user: string, headers = {}): Promise<readonly unknown[]> =>
  (await service.get(`/api/v1/users/${encodeURIComponent(user)}/notifications`, headers)).json.notifications

describe('an option that cannot be used is an error at once:', () => {
  const URL_RULE = 'url: expected an address with http:// or https://'
  test.each([
    [undefined, 'options: expected an object with url'],
    [{ url: undefined }, URL_RULE],
    [{ url: '' }, URL_RULE],
    [{ url: 'localhost:8081' }, URL_RULE],
    [{ url: 'notification' }, URL_RULE],
    [{ url: 'ws://localhost' }, URL_RULE],
    [{ url: 'http://user:secret@localhost' }, 'url: expected no user, password, query or #'],
    [{ url: 'http://localhost?a=b' }, 'url: expected no user, password, query or #'],
    [{ apiKey: '' }, 'apiKey: expected one key, not empty, without comma or control characters'],
    [{ apiKey: 'a-key-0123456789,another-0123456789' }, 'apiKey: expected one key'],
    [{ apiKey: ' \n' }, 'apiKey: expected one key'],
    [{ apiKey: 'a\nb' }, 'apiKey: expected one key'],
    [{ apiKey: 5 }, 'apiKey: expected one key'],
    [{ tenant: '' }, 'tenant: expected 1 to 64 of A-Z a-z 0-9 _ . -'],
    [{ tenant: 'a b' }, 'tenant: expected 1 to 64'],
    [{ retries: -1 }, 'retries: expected a whole number from 0'],
    [{ retries: '4' }, 'retries: expected a whole number from 0'],
    [{ timeout: 0 }, 'timeout: expected a whole number from 1'],
    [{ timeout: Number.POSITIVE_INFINITY }, 'timeout: expected a whole number from 1'],
    [{ deadline: 2 ** 31 }, 'deadline: expected a whole number from 1 to 2147483647'],
    [{ concurrency: 0 }, 'concurrency: expected a whole number from 1'],
    [{ algorithm: 'RS256' }, 'algorithm: expected HS256, HS384 or HS512'],
  ])('%j', async (options, message) => {
    const all = options === undefined ? undefined : { url: ADDRESS, ...options }
    expect(await errorOf(() => anyClient(all))).toEqual(invalid(message))
  })
})

test('options may be undefined, as variables of the environment are', () => {
  const options = {
    url: ADDRESS,
    apiKey: undefined,
    tenant: undefined,
    secret: undefined,
    retries: undefined,
  }
  expect(Object.keys(createServerClient(options))).toContain('user')
})

describe('an argument that cannot be used rejects, and nothing is sent:', () => {
  const cycle: Record<string, unknown> = {}
  cycle['itself'] = cycle
  const JSON_RULE = 'message: expected values that JSON can hold'
  const KEY_RULE = 'idempotency_key: expected 1 to 255 visible ASCII characters'
  const USER_RULE = 'user: expected 1 to 256 bytes'

  test.each([
    ['a BigInt', { ...EVENT, payload: 1n }, JSON_RULE],
    ['a cycle', { ...EVENT, payload: cycle }, JSON_RULE],
    ['no message', undefined, 'message: expected an object with event_type and payload'],
    ['an empty key', { ...EVENT, idempotency_key: '' }, KEY_RULE],
    ['a key with a space', { ...EVENT, idempotency_key: 'a b' }, KEY_RULE],
    ['a key with 漢字', { ...EVENT, idempotency_key: '漢字' }, KEY_RULE],
    ['a key of 256 characters', { ...EVENT, idempotency_key: 'k'.repeat(256) }, KEY_RULE],
  ])('%s', async (_, message, expected) => {
    const ara = silentClient()
    for (const send of [() => ara.user('ann', message), () => ara.broadcast(message)])
      expect(await errorOf(send)).toEqual(invalid(expected))
  })

  test.each(['', '.', '..', 'x'.repeat(257), '\ud800', 'a\nb', 5, undefined])('user %j', async user => {
    const ara = silentClient()
    expect(await errorOf(() => ara.disconnect(user))).toEqual(invalid(USER_RULE))
    expect(await errorOf(() => ara.token({ user }))).toEqual(invalid(USER_RULE))
  })

  test('a body that no endpoint accepts', async () => {
    const payload = 'x'.repeat(1_048_577)
    expect(await errorOf(() => silentClient().user('ann', { ...EVENT, payload }))).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
    })
  })

  test.each([
    [{ ttl: 0 }, 'ttl: expected a whole number from 1'],
    [{ ttl: '1h' }, 'ttl: expected a whole number from 1'],
    [{ ttl: 1e15 }, 'ttl: expected a whole number from 1'],
    [{ roles: 'admin' }, 'roles: expected a list of at most 100 texts'],
    [{ roles: Array.from({ length: 101 }, String) }, 'roles: expected a list of at most 100 texts'],
    [{ channels: [5] }, 'channels: expected a list of at most 1000 texts'],
    [{ tenant: 'a b' }, 'tenant: expected 1 to 64'],
  ])('a token with %j', async (options, message) => {
    expect(await errorOf(() => silentClient().token({ user: 'ann', ...options }))).toEqual(invalid(message))
  })
})

test.each(['a/b', 'a.b', '...', 'änn 漢字 😀', '%2e%2e', 'a?b#c', 'a\\b', ' '])(
  'user %j is reached and disconnected',
  async user => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const ara = createServerClient({ url: service.url, apiKey: API_KEY })
    using socket = await socketOf(service, user)
    expect(await ara.user(user, EVENT)).toMatchObject({ delivered_to: 1 })
    expect(await ara.disconnect(user)).toEqual({ user_id: user, disconnected: 1 })
    expect(await socket.closed).toMatchObject({ code: 4403 })
  },
)

test('a message that names another target does not change the target', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const ara = anyClient({ url: service.url, apiKey: API_KEY })
  await ara.user('ann', { ...EVENT, target_user_id: 'eve' })
  expect(await keptFor(service, 'ann')).toHaveLength(1)
  expect(await keptFor(service, 'eve')).toEqual([])
})

test('refusals for size and shape come from the service', async () => {
  await using service = await startTestApp()
  const ara = anyClient({ url: service.url, apiKey: API_KEY })
  const codes = [
    ara.user('ann', { ...EVENT, payload: 'x'.repeat(1_000_000) }),
    ara.user('ann', { event_type: 'e' }),
    ara.batch([]),
    ara.batch(Array.from({ length: 101 }, () => ({ target: { type: 'user', value: 'ann' }, ...EVENT }))),
  ].map(call => call.catch(({ code, status }: AraError) => [code, status]))
  expect(await Promise.all(codes)).toEqual([
    ['PAYLOAD_TOO_LARGE', 413],
    ['VALIDATION_ERROR', 422],
    ['VALIDATION_ERROR', 400],
    ['BATCH_TOO_LARGE', 400],
  ])
})

test('a batch tells sent, failed and skipped items apart', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const ara = createServerClient({ url: service.url, apiKey: API_KEY })
  const toAnn = { target: { type: 'user', value: 'ann' } } as const
  const { results } = await ara.batch(
    [
      { ...toAnn, ...EVENT },
      { ...toAnn, ...EVENT },
      { ...toAnn, template_id: 'unknown' },
    ],
    { deduplicate: true },
  )
  const kinds = results.map(result => {
    if (result.skipped) return 'skipped'
    if (result.code !== undefined) return `${result.code}: ${result.error.length > 0}`
    return result.status satisfies string
  })
  expect(kinds).toEqual(['queued', 'skipped', 'VALIDATION_ERROR: true'])
})

describe('a tenant', () => {
  test('gets what is sent for it, and no other', async () => {
    await using service = await startTestApp({
      TENANT_ENABLED: 'true',
      QUEUE_ENABLED: 'true',
      TENANT_API_KEYS: 'acme:a-key-of-acme-0123456789',
    })
    const globex = createServerClient({ url: service.url, apiKey: API_KEY, tenant: 'globex' })
    const acme = createServerClient({ url: service.url, apiKey: 'a-key-of-acme-0123456789' })
    await globex.user('ann', { ...EVENT, idempotency_key: 'k' })
    await acme.user('ann', { ...EVENT, payload: 2, idempotency_key: 'k' })
    for (const [tenant, payload] of [
      ['globex', 1],
      ['acme', 2],
    ])
      expect(await keptFor(service, 'ann', { 'x-tenant-id': tenant })).toMatchObject([{ payload }])
    const foreign = createServerClient({
      url: service.url,
      apiKey: 'a-key-of-acme-0123456789',
      tenant: 'globex',
    })
    await expect(foreign.user('ann', EVENT)).rejects.toMatchObject({ code: 'FORBIDDEN', status: 403 })
  })

  test('of the client is in its tokens, also when the option is undefined', async () => {
    const ara = createServerClient({ url: ADDRESS, secret: SECRET, tenant: 'acme' })
    const tenantOf = async (tenant: string | undefined) =>
      decodeJwt(await ara.token({ user: 'ann', tenant }))['tenant_id']
    expect([await tenantOf(undefined), await tenantOf('globex')]).toEqual(['acme', 'globex'])
  })
})

test('an API key in UTF-8, with line break, is accepted as the service has it', async () => {
  await using service = await startTestApp({ API_KEY: 'schlüssel-漢字-0123456789' })
  const ara = createServerClient({ url: service.url, apiKey: 'schlüssel-漢字-0123456789\n' })
  expect(await ara.broadcast(EVENT)).toMatchObject({ status: 'no_recipient' })
})

test('an error carries the id of the request in the log', async () => {
  await using service = await startTestApp()
  const ara = createServerClient({ url: service.url, apiKey: 'another-key-0123456789' })
  const error = await ara.user('ann', EVENT).catch(reason => reason)
  expect(service.lines.map(line => line['request_id'])).toContain(error.requestId)
})

describe('a token', () => {
  test('has the claims of the options, and no others', async () => {
    const ara = createServerClient({ url: ADDRESS, secret: SECRET })
    const before = Math.floor(Date.now() / 1_000)
    const { iat = 0, ...claims } = decodeJwt(
      await ara.token({ user: 'ann', ttl: 60, roles: ['a'], channels: [] }),
    )
    expect(iat).toBeWithin(before, before + 20)
    expect(claims).toEqual({ sub: 'ann', exp: iat + 60, roles: ['a'], channels: [] })
    const plain = decodeJwt(await ara.token({ user: 'ann' }))
    expect(Object.keys(plain).sort()).toEqual(['exp', 'iat', 'sub'])
    expect(Number(plain.exp) - Number(plain.iat)).toBe(3_600)
  })

  test.each(['HS256', 'HS384', 'HS512'] as const)(
    'is accepted by a service with issuer, audience and %s',
    async algorithm => {
      await using service = await startTestApp({
        JWT_ISSUER: 'shop',
        JWT_AUDIENCE: 'ara',
        JWT_ALGORITHMS: algorithm,
      })
      const ara = createServerClient({
        url: service.url,
        secret: `${SECRET}\n`,
        issuer: 'shop',
        audience: 'ara',
        algorithm,
      })
      const token = await ara.token({ user: 'ann' })
      expect(decodeProtectedHeader(token)).toEqual({ alg: algorithm, typ: 'JWT' })
      using socket = await connectSocket(`${service.url}/ws?cursor=`, ['bearer', token])
      expect(await socket.nextOf('connected')).toMatchObject({ user_id: 'ann' })
    },
  )

  test('from before a disconnect with `issued_before` is refused, one from the same second is accepted', async () => {
    await using service = await startTestApp()
    const ara = createServerClient({ url: service.url, apiKey: API_KEY, secret: SECRET })
    const [older, newer] = [await ara.token({ user: 'ann' }), await ara.token({ user: 'bob' })]
    await ara.disconnect('ann', { issued_before: Number(decodeJwt(older).iat) + 1 })
    await ara.disconnect('bob', { issued_before: Number(decodeJwt(newer).iat) })
    await expect(connectSocket(`${service.url}/ws`, ['bearer', older])).rejects.toThrow()
    using bob = await connectSocket(`${service.url}/ws?cursor=`, ['bearer', newer])
    expect(await bob.nextOf('connected')).toMatchObject({ user_id: 'bob' })
  })

  test.each([undefined, '', ' '])('needs a secret (%j)', async secret => {
    const ara = createServerClient({ url: ADDRESS, secret })
    await expect(ara.token({ user: 'ann' })).rejects.toMatchObject({ code: 'NO_SECRET' })
  })
})

test('a client has the documented methods, and no others', () => {
  expect(Object.keys(createServerClient({ url: ADDRESS })).sort()).toEqual([
    'batch',
    'broadcast',
    'channel',
    'channels',
    'disconnect',
    'token',
    'user',
    'users',
  ])
})

test('the type of `code` has exactly the codes of the API that answer requests', () => {
  const both: [ApiErrorCode] extends [HttpErrorCode]
    ? [HttpErrorCode] extends [ApiErrorCode]
      ? 'equal'
      : 'missing'
    : 'more' = 'equal'
  expect(both).toBe('equal')
})

test(
  'the bundle needs nothing of Node: it imports nothing and names no `node:`, `process` or `Buffer`',
  async () => {
    const text = await Bun.file(join(await bundledClient(), 'server/index.js')).text()
    expect(text.match(/\bimport\b|\brequire\b|node:|\bprocess\b|\bBuffer\b/g)).toBeNull()
  },
  BUILD_MS,
)
