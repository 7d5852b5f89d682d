import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { createStoppedClock } from '../support/clock.ts'

const AT = '/api/v1/me/notifications'
const NOTHING = { notifications: [], cursor: null, has_more: false }
const RATES = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset', 'retry-after']

async function ask(app: TestApp, query: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${app.url}${AT}${query}`, { headers })
  return { status: response.status, headers: response.headers, json: (await response.json()) as Answered }
}
interface Answered {
  readonly error?: { readonly code: string; readonly details?: readonly { readonly path: string }[] }
  readonly user_id?: string
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const rates = (headers: Headers) => RATES.map(name => headers.get(name))

describe('the server reads the token of a client', () => {
  test('from the query, else from the header', async () => {
    await using app = await startTestApp()
    const [u, v] = [await app.token('u'), await app.token('v')]
    expect((await ask(app, `?token=${u}`)).json.user_id).toBe('u')
    expect((await ask(app, '', bearer(v))).json.user_id).toBe('v')
    expect((await ask(app, `?token=${u}`, bearer(v))).json.user_id).toBe('u')
    // Ignores API keys.
    expect((await ask(app, `?token=${u}`, { 'x-api-key': 'wrong' })).status).toBe(200)
  })

  test('from no other place', async () => {
    await using app = await startTestApp()
    const token = await app.token('u')
    const wrong: readonly (readonly [query: string, headers: Record<string, string>])[] = [
      ['', {}],
      ['?token=', {}],
      ['?token=', bearer(token)],
      ['?token=nonsense', {}],
      ['?token=nonsense', bearer(token)],
      [`?Token=${token}`, {}],
      [`?token=${await app.token('u', { exp: Math.floor(Date.now() / 1000) - 600 })}`, {}],
      ['', { authorization: token }],
      ['', { authorization: `Bearer\t${token}` }],
      ['', { 'sec-websocket-protocol': `bearer, ${token}` }],
      ['', { 'x-api-key': 'a-key-for-tests-0123456789' }],
    ]
    for (const [query, headers] of wrong) {
      const answer = await ask(app, query, headers)
      expect([query, answer.status, answer.json.error?.code]).toEqual([query, 401, 'UNAUTHORIZED'])
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(rates(answer.headers)).toEqual([null, null, null, null])
    }
    expect(JSON.stringify(app.lines)).not.toContain(token)
  })

  test('only if it is given once', async () => {
    await using app = await startTestApp()
    const token = await app.token('u')
    for (const query of [`?token=${token}&token=${token}`, `?token=&token=${token}`]) {
      const { status, json } = await ask(app, query)
      expect([status, json.error?.code, json.error?.details]).toEqual([
        400,
        'VALIDATION_ERROR',
        [{ path: 'token', message: 'given twice' }],
      ] as never)
    }
  })
})

describe('a client is charged', () => {
  const RATE = {
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_HTTP_BURST_SIZE: '3',
    RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
  }

  test('as a user of its tenant, whatever its token and address', async () => {
    await using app = await startTestApp(
      { ...RATE, TENANT_ENABLED: 'true', TRUSTED_PROXIES: '127.0.0.1' },
      { clock: createStoppedClock() },
    )
    const from = (n: number) => ({ 'x-forwarded-for': `192.0.2.${n}` })
    for (const left of [2, 1, 0]) {
      const { status, headers } = await ask(app, `?token=${await app.token('u', { n: left })}`, from(left))
      expect([status, ...rates(headers)]).toEqual([200, '1', `${left}`, expect.any(String), null] as never)
    }
    const denied = await ask(app, `?token=${await app.token('u')}`, from(9))
    expect([denied.status, denied.json.error?.code]).toEqual([429, 'RATE_LIMITED'])
    expect(rates(denied.headers)).toEqual(['1', '0', expect.any(String), '1'])
    for (const [user, claims] of [
      ['v', {}],
      ['u', { tenant_id: 'acme' }],
      ['default:u', {}],
    ] as const)
      expect((await ask(app, `?token=${await app.token(user, claims)}`, from(9))).status).toBe(200)
    // Neither the address nor a key was charged.
    expect((await ask(app, '', from(9))).headers.get('x-ratelimit-remaining')).toBe('2')
    expect((await app.get('/stats')).headers.get('x-ratelimit-remaining')).toBe('2')
  })

  test('by address when it is rejected, until the answer is 429', async () => {
    await using app = await startTestApp(RATE, { clock: createStoppedClock() })
    const token = await app.token('u')
    for (const [query, status, left] of [
      ['', 401, '2'],
      ['?token=nonsense', 401, '1'],
      [`?token=${token}&token=${token}`, 400, '0'],
      ['', 429, '0'],
      [`?token=${token}&token=${token}`, 429, '0'],
    ] as const) {
      const answer = await ask(app, query)
      expect([query, answer.status, answer.headers.get('x-ratelimit-remaining')]).toEqual([
        query,
        status,
        left,
      ])
    }
    // Invented API keys share that bucket; a valid token does not.
    expect((await app.get('/stats', { 'x-api-key': 'made-up' })).status).toBe(429)
    expect((await ask(app, `?token=${token}`)).headers.get('x-ratelimit-remaining')).toBe('2')
  })

  test('for a request that is rejected later', async () => {
    await using app = await startTestApp(RATE, { clock: createStoppedClock() })
    const token = await app.token('u')
    const answer = await ask(app, `?limit=0&token=${token}`)
    expect([answer.status, answer.headers.get('x-ratelimit-remaining')]).toEqual([400, '2'])
  })
})

describe('without a log', () => {
  test('a listing is empty, and every cursor belongs to a former log', async () => {
    await using app = await startTestApp()
    const token = await app.token('ü')
    expect((await ask(app, `?token=${token}`)).json).toEqual({
      user_id: 'ü',
      ...NOTHING,
      recovered: true,
    } as never)
    expect((await ask(app, `?limit=1000&after=k3f9:12&token=${token}`)).json).toEqual({
      user_id: 'ü',
      ...NOTHING,
      recovered: false,
      reason: 'epoch_changed',
    } as never)
  })

  test('invalid values are rejected nevertheless', async () => {
    await using app = await startTestApp()
    const token = await app.token('u')
    for (const [query, path] of [
      ['limit=0', 'limit'],
      ['limit=1001', 'limit'],
      ['limit=-1', 'limit'],
      ['limit=1.0', 'limit'],
      ['limit=', 'limit'],
      ['limit=1&limit=1', 'limit'],
      ['after=12', 'after'],
      ['after=k3f9:', 'after'],
      ['after=k3f9:-1', 'after'],
      ['after=k3f9:01', 'after'],
      [`after=${'x'.repeat(33)}:1`, 'after'],
      ['after=k3f9:1&after=k3f9:1', 'after'],
      ['after=%zz', 'query'],
    ] as const) {
      const { status, json } = await ask(app, `?${query}&token=${token}`)
      expect([query, status, json.error?.code, json.error?.details?.map(fault => fault.path)]).toEqual([
        query,
        400,
        'VALIDATION_ERROR',
        [path],
      ])
    }
    for (const path of [`${AT}/`, '/api/v1/me', '/api/v1/me/acks/'])
      expect([path, (await fetch(`${app.url}${path}?token=${token}`)).status]).toEqual([path, 404])
    expect((await fetch(`${app.url}${AT}?token=${token}`, { method: 'POST' })).status).toBe(405)
  })
})

describe('with a log', () => {
  test('a client lists its own log only, as a backend sees it', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' })
    for (const [user, tenant, payload] of [
      ['u', 'acme', '[1.10,-0]'],
      ['u', 'acme', '2'],
      ['v', 'acme', '3'],
      ['u', 'globex', '4'],
    ] as const)
      await app.post(
        '/api/v1/notifications/send',
        `{"target_user_id":"${user}","event_type":"e","payload":${payload}}`,
        { 'x-tenant-id': tenant },
      )
    const token = await app.token('u', { tenant_id: 'acme' })
    for (const query of ['', '&limit=1', '&after=nowhere:1', '&after=']) {
      const own = await fetch(`${app.url}${AT}?token=${token}${query}`)
      const told = await app.get(`/api/v1/users/u/notifications?${query.slice(1)}`, { 'x-tenant-id': 'acme' })
      expect([query, own.status, await own.text()]).toEqual([query, 200, told.text])
    }
    const text = await (await fetch(`${app.url}${AT}?token=${token}`)).text()
    expect(text).toContain('"payload":[1.10,-0]')
    expect(JSON.parse(text).notifications).toHaveLength(2)
    const [first] = JSON.parse(text).notifications
    const rest = await fetch(`${app.url}${AT}?token=${token}&after=${first.cursor}`)
    expect(((await rest.json()) as { notifications: unknown[] }).notifications).toHaveLength(1)
  })

  test('the answer carries the rate limit headers of the user', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true', RATELIMIT_ENABLED: 'true' })
    const { status, headers } = await ask(app, `?token=${await app.token('u')}`)
    expect([status, headers.get('x-ratelimit-remaining')]).toEqual([200, '199'])
  })
})
