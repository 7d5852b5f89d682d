import { expect, test } from 'bun:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { ConfigError, loadConfig } from '../../src/config/config.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'

const ME = '/api/v1/me/notifications'
const inAnHour = () => Date.now() / 1000 + 3600

const statusOf = async (service: TestApp, authorization: string) =>
  (await fetch(service.url + ME, { headers: { authorization } })).status

test('the scheme of a token is case-insensitive, followed by one or more blanks', async () => {
  await using service = await startTestApp()
  const token = await service.token('u')
  for (const scheme of ['Bearer ', 'bearer ', 'BEARER ', 'bEaReR    '])
    expect([scheme, await statusOf(service, scheme + token)]).toEqual([scheme, 200])
  for (const scheme of ['Bearer', 'Basic ', 'Bearer:', 'Bearer\t', ''])
    expect([scheme, await statusOf(service, scheme + token)]).toEqual([scheme, 401])
  using client = await connectSocket(`${service.url}/ws`, undefined, { authorization: `bearer  ${token}` })
  client.send({ type: 'Ping' })
  expect(await client.next()).toEqual({ type: 'pong' })
})

test('the scheme of the metrics key is case-insensitive', async () => {
  await using service = await startTestApp({ METRICS_KEY: 'a-key-for-metrics' })
  for (const authorization of ['Bearer a-key-for-metrics', 'bearer   a-key-for-metrics'])
    expect((await fetch(`${service.url}/metrics`, { headers: { authorization } })).status).toBe(200)
})

test.each<[claims: object, status: number]>([
  [{ exp: inAnHour() + 0.5 }, 200],
  [{ iat: 1_700_000_000.25 }, 200],
  [{ nbf: 1_700_000_000.75 }, 200],
  [{ iat: null, nbf: null, roles: null, tenant_id: null }, 200],
  [{ exp: Date.now() / 1000 - 60.5 }, 401],
  [{ nbf: inAnHour() + 0.5 }, 401],
  [{ exp: null }, 401],
  [{ exp: '1800000000' }, 401],
  [{ iat: '1' }, 401],
  [{ nbf: true }, 401],
  [{ roles: 'admin' }, 401],
  [{ roles: [null] }, 401],
  [{ tenant_id: 5 }, 401],
  [{ channels: 'a' }, 401],
  [{ channels: null }, 401],
  [{ sub: '' }, 401],
  [{ sub: 5 }, 401],
  [{ sub: 'a\u0085b' }, 401],
])('a token with %j is answered %d', async (claims, status) => {
  await using service = await startTestApp()
  const token = await service.token('u', { ...claims })
  expect(await statusOf(service, `Bearer ${token}`)).toBe(status)
})

test('an exp beyond all dates is rejected', async () => {
  await using service = await startTestApp()
  const payload = Buffer.from('{"sub":"u","exp":1e400}').toString('base64url')
  const head = Buffer.from('{"alg":"HS256"}').toString('base64url')
  const key = new Bun.CryptoHasher('sha256', 'a-secret-for-tests-of-at-least-32-bytes')
  const signature = key.update(`${head}.${payload}`).digest('base64url')
  expect(await statusOf(service, `Bearer ${head}.${payload}.${signature}`)).toBe(401)
})

test('an `exp` with a fraction gives `expires_in` in whole seconds', async () => {
  await using service = await startTestApp()
  const token = await service.token('u', { exp: inAnHour() + 0.5 })
  using client = await connectSocket(`${service.url}/ws?cursor=&token=${token}`)
  expect(Number.isInteger((await client.next()).expires_in)).toBe(true)
})

test('a key set without a usable key does not replace a good one', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1' }
  const useless: readonly unknown[] = [
    { keys: [] },
    { keys: [{ kty: 'oct', k: 'AAAA' }] },
    { keys: [{ ...jwk, use: 'enc' }] },
    { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }] },
    { keys: 'none' },
    [],
    'oops',
  ]
  let answer: unknown = { keys: [jwk] }
  let asked = 0
  await using server = Bun.serve({
    port: 0,
    fetch: () => {
      asked++
      return Response.json(answer)
    },
  })
  const sign = (kid: string) =>
    new SignJWT({ sub: 'u', exp: Math.floor(inAnHour()) })
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(privateKey)
  for (const each of useless) {
    answer = { keys: [jwk] }
    await using service = await startTestApp({ JWT_SECRET: '', JWT_JWKS_URL: `${server.url}` })
    const good = await sign('k1')
    while ((await statusOf(service, `Bearer ${good}`)) !== 200) await Bun.sleep(5)
    answer = each
    const before = asked
    // An unknown key id triggers a fetch.
    expect(await statusOf(service, `Bearer ${await sign('k2')}`)).toBe(401)
    expect(asked).toBe(before + 1)
    expect([each, await statusOf(service, `Bearer ${good}`)]).toEqual([each, 200])
    expect(service.lines.some(({ event }) => event === 'auth.key_set_unavailable')).toBe(true)
  }
})

const refusal = (env: Record<string, string>): string => {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'loaded'
}

test('an origin with a wildcard inside prevents the start, and `null` is allowed', async () => {
  for (const origin of ['https://*.a.example', 'https://*', '*.a.example', 'https://a.example,https://b.*'])
    expect(refusal({ CORS_ORIGINS: origin })).toMatch(/^CORS_ORIGINS: expected a list of origins/)
  await using service = await startTestApp({ CORS_ORIGINS: 'https://a.example,null' })
  const token = await service.token('u')
  const open = (origin: string) => fetch(`${service.url}/sse?token=${token}`, { headers: { origin } })
  const opened = await open('null')
  expect([opened.status, opened.headers.get('access-control-allow-origin')]).toEqual([200, 'null'])
  await opened.body?.cancel()
  const refused = await open('https://b.example')
  expect(refused.status).toBe(403)
  expect(await refused.json()).toMatchObject({
    error: { message: 'The Origin of this page is not in CORS_ORIGINS.' },
  })
})

test.each(['JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'JWT_ISSUER', 'JWT_AUDIENCE', 'METRICS_KEY'])(
  '%s with a line break or a blank around it prevents the start',
  name => {
    const value = 'a-text-of-more-than-thirty-two-bytes'
    for (const odd of [`${value}\n`, `${value}\r\n`, ` ${value}`, `${value} `])
      expect(refusal({ [name]: odd })).toBe(
        `${name}: expected a text without blanks or line breaks around it`,
      )
    expect(refusal({ [name]: value })).toBe('loaded')
  },
)
