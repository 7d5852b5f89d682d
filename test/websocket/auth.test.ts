import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { lateRevocations } from '../support/revocations.ts'
import { broadcast, eventually, publish, settle, socketOf } from '../support/visit.ts'

const seconds = () => Math.floor(Date.now() / 1000)
const TENANTS = { TENANT_ENABLED: 'true' }

async function present(app: TestApp, client: SocketClient, claims: Record<string, unknown> = {}, user = 'u') {
  client.send({ type: 'Auth', payload: { token: await app.token(user, claims) } })
}

async function join(client: SocketClient, ...channels: readonly string[]): Promise<void> {
  client.send({ type: 'Subscribe', payload: { channels } })
  expect(await client.next()).toEqual({ type: 'subscribed', payload: channels })
}

const error = (code: string) => ({ type: 'error', code, message: expect.any(String) })

describe('a token presented on an open connection', () => {
  test('is answered with the seconds until it expires, also with 0', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    await present(app, client, { exp: seconds() + 7_200 })
    const answer = await client.next()
    expect(answer).toEqual({ type: 'authenticated', expires_in: expect.any(Number) })
    expect(answer.expires_in).toBeWithin(7_190, 7_201)
    await present(app, client, { exp: seconds() - 10 })
    expect(await client.next()).toEqual({ type: 'authenticated', expires_in: 0 })
  })

  test('moves the end of the connection, later or earlier', async () => {
    const clock = createTestClock()
    await using app = await startTestApp(
      { JWT_LEEWAY_SECONDS: '0', WEBSOCKET_HEARTBEAT_INTERVAL: '1', WEBSOCKET_CONNECTION_TIMEOUT: '3600' },
      { clock },
    )
    using later = await socketOf(app, 'u', { claims: { exp: seconds() + 100 } })
    using sooner = await socketOf(app, 'u', { claims: { exp: seconds() + 1_000 } })
    await present(app, later, { exp: seconds() + 1_000 })
    await present(app, sooner, { exp: seconds() + 100 })
    for (const client of [later, sooner]) expect((await client.next()).type).toBe('authenticated')
    clock.jump(110)
    expect(await sooner.closed).toEqual({ code: 4401, reason: 'token expired' })
    expect(await settle(later)).toEqual([])
    clock.jump(1_000)
    expect(await later.closed).toMatchObject({ code: 4401 })
  })

  test('gets its own `token_expiring`', async () => {
    const clock = createTestClock()
    await using app = await startTestApp({ WEBSOCKET_CONNECTION_TIMEOUT: '3600' }, { clock })
    using client = await socketOf(app, 'u', { claims: { exp: seconds() + 20 }, cursor: '' })
    expect((await client.next()).type).toBe('connected')
    expect((await client.next()).type).toBe('token_expiring')
    await present(app, client, { exp: seconds() + 1_000 })
    expect((await client.next()).type).toBe('authenticated')
    expect(await settle(client)).toEqual([])
    clock.jump(980)
    const notice = await client.next()
    expect(notice).toEqual({ type: 'token_expiring', in: expect.any(Number) })
    expect(notice.in).toBeWithin(15, 22)
  })

  test('sets the roles of the connection', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u', { claims: { roles: ['guest'] } })
    const to = (role: string, payload: number) =>
      app.post('/api/v1/notifications/broadcast', {
        event_type: 'e',
        payload,
        audience: { type: 'Roles', value: [role] },
      })
    expect((await to('guest', 1)).json.delivered_to).toBe(1)
    expect((await to('admin', 2)).json.delivered_to).toBe(0)
    await present(app, client, { roles: ['admin'] })
    await client.nextOf('authenticated')
    expect((await to('guest', 3)).json.delivered_to).toBe(0)
    expect((await to('admin', 4)).json.delivered_to).toBe(1)
    await present(app, client)
    await client.nextOf('authenticated')
    expect((await to('admin', 5)).json.delivered_to).toBe(0)
    expect(client.inbox.all.filter(({ type }) => type === 'notification')).toHaveLength(2)
  })

  test('ends at once the subscriptions that it does not allow, and lists them', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    await join(client, 'news', 'Größe', 'orders.1', 'orders.2')
    await present(app, client, { channels: ['orders.*', 'new'] })
    expect((await client.next()).type).toBe('authenticated')
    expect(await client.next()).toEqual({ type: 'unsubscribed', payload: ['news', 'Größe'] })
    for (const [channel, delivered] of [
      ['news', 0],
      ['Größe', 0],
      ['orders.1', 1],
      ['orders.2', 1],
    ] as const)
      expect((await publish(app, channel, channel)).delivered_to).toBe(delivered)
    expect((await settle(client)).map(({ payload }: Message) => payload)).toEqual(['orders.1', 'orders.2'])
    client.send({ type: 'Subscribe', payload: { channels: ['news', 'new', 'orders.3'] } })
    expect(await client.next()).toEqual({ type: 'subscribed', payload: ['new', 'orders.3'] })
    expect(await client.next()).toEqual(error('SUBSCRIPTION_ERROR'))
    // Without the claim any channel is allowed again; ended subscriptions stay ended.
    await present(app, client)
    expect((await settle(client)).map(({ type }: Message) => type)).toEqual(['authenticated'])
    expect((await publish(app, 'news', 1)).delivered_to).toBe(0)
    await join(client, 'news')
  })

  test('without the claim `channels` ends all subscriptions with CHANNEL_ACCESS=claims', async () => {
    await using app = await startTestApp({ CHANNEL_ACCESS: 'claims' })
    using client = await socketOf(app, 'u', { claims: { channels: ['*'] } })
    await join(client, 'a', 'b')
    await present(app, client, { channels: ['*'] })
    expect((await settle(client)).map(({ type }: Message) => type)).toEqual(['authenticated'])
    await present(app, client)
    expect((await client.next()).type).toBe('authenticated')
    expect(await client.next()).toEqual({ type: 'unsubscribed', payload: ['a', 'b'] })
    expect((await app.get('/api/v1/channels')).json.total_channels).toBe(0)
    expect((await broadcast(app, 1)).delivered_to).toBe(1)
  })

  test('changes nothing when it is invalid', async () => {
    const clock = createTestClock()
    await using app = await startTestApp({ WEBSOCKET_CONNECTION_TIMEOUT: '3600' }, { clock })
    using client = await socketOf(app, 'u', { claims: { exp: seconds() + 1_000, channels: ['a'] } })
    await join(client, 'a')
    const good = await app.token('u')
    const bad = [
      '',
      'nonsense',
      `${good}x`,
      `Bearer ${good}`,
      good.slice(0, -2),
      'x'.repeat(60_000),
      await app.token('u', { exp: seconds() - 3_600 }),
      await app.token('u', { roles: 'admin' }),
      await app.token('u', { sub: undefined }),
      await app.token('u', { sub: '' }),
      await app.token('other', { exp: seconds() - 3_600 }),
    ]
    for (const token of bad) {
      client.send({ type: 'Auth', payload: { token } })
      expect(await client.next()).toEqual(error('UNAUTHORIZED'))
    }
    expect((await publish(app, 'a', 1)).delivered_to).toBe(1)
    expect((await settle(client)).map(({ payload }: Message) => payload)).toEqual([1])
    const lines = app.lines.filter(({ event }) => event === 'auth.refused')
    expect(lines.length).toBeGreaterThan(0)
    expect(JSON.stringify(app.lines)).not.toContain(good.slice(0, 40))
    clock.jump(1_070)
    expect(await client.closed).toMatchObject({ code: 4401 })
  })

  const OTHERS: readonly (readonly [what: string, user: string, claims: Record<string, unknown>])[] = [
    ['another user', 'v', { tenant_id: 'acme' }],
    ['the same user of another tenant', 'u', { tenant_id: 'globex' }],
    ['the same user of the default tenant', 'u', {}],
    ['a user whose name is another case of it', 'U', { tenant_id: 'acme' }],
  ]
  for (const [what, user, claims] of OTHERS)
    test(`of ${what} is forbidden and closes the connection with 4401`, async () => {
      await using app = await startTestApp(TENANTS)
      using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
      await present(app, client, claims, user)
      expect(await client.next()).toEqual(error('FORBIDDEN'))
      expect(await client.closed).toEqual({ code: 4401, reason: 'token of another user' })
      expect(client.inbox.all).toHaveLength(1)
    })

  test('belongs to the default tenant when tenancy is off, whatever its claim', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
    await present(app, client, { tenant_id: 'globex' })
    expect((await client.next()).type).toBe('authenticated')
  })
})

describe('an Auth message', () => {
  const MALFORMED: readonly string[] = [
    '{"type":"Auth"}',
    '{"type":"Auth","payload":null}',
    '{"type":"Auth","payload":"token"}',
    '{"type":"Auth","payload":[]}',
    '{"type":"Auth","payload":{}}',
    '{"type":"Auth","payload":{"token":null}}',
    '{"type":"Auth","payload":{"token":5}}',
    '{"type":"Auth","payload":{"token":["x"]}}',
    '{"type":"Auth","payload":{"Token":"x"}}',
    '{"type":"Auth","token":"x"}',
    '{"type":"auth","payload":{"token":"x"}}',
    '{"type":"AUTH","payload":{"token":"x"}}',
  ]
  test('of the wrong shape is answered INVALID_MESSAGE', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    for (const text of MALFORMED) {
      client.sendRaw(text)
      expect([text, await client.next()]).toEqual([text, error('INVALID_MESSAGE')])
    }
  })

  test('may have extra keys in any order', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    const token = await app.token('u')
    client.sendRaw(JSON.stringify({ id: 1, payload: { extra: [], token }, type: 'Auth' }))
    expect((await client.next()).type).toBe('authenticated')
  })

  test('counts in the metrics like any well-formed message', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    const { messagesReceived } = app.app.stats
    await present(app, client)
    client.send({ type: 'Auth', payload: { token: 'nonsense' } })
    client.send({ type: 'Auth' })
    client.send({ type: 'Subscribe', payload: { channels: ['no channel'] } })
    client.send({ type: 'Unsubscribe', payload: { channels: [] } })
    client.send({ type: 'Ack', payload: { notification_id: crypto.randomUUID() } })
    client.sendRaw(Buffer.from('{"type":"Ping"}'))
    await settle(client)
    expect(messagesReceived).toEqual({ subscribe: 1, unsubscribe: 1, ping: 1, ack: 1, auth: 2 })
  })
})

describe('while a new token is checked', () => {
  /** A service that checks tokens once the gate is open. */
  const start = async (env = {}) => {
    let isOpen = true
    let gate = Promise.withResolvers<void>()
    const app = await startTestApp(env, {
      wrapStore: lateRevocations(() => (isOpen ? Promise.resolve() : gate.promise)),
    })
    return {
      app,
      shut: () => {
        isOpen = false
        gate = Promise.withResolvers()
      },
      open: () => {
        isOpen = true
        gate.resolve()
      },
      [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
    }
  }

  test('later messages wait and are handled in order under the new token', async () => {
    await using service = await start({ CHANNEL_ACCESS: 'claims' })
    const { app } = service
    using client = await socketOf(app, 'u')
    await settle(client)
    service.shut()
    const ping = { type: 'Ping' }
    await present(app, client, { channels: ['a'] })
    client.send({ type: 'Subscribe', payload: { channels: ['a', 'b'] } })
    client.sendRaw(Buffer.from('binary'))
    client.send(ping)
    await present(app, client, { channels: ['b'] })
    client.send({ type: 'Subscribe', payload: { channels: ['b'] } })
    await present(app, client, { sub: 'u', exp: seconds() - 3_600 })
    client.sendRaw('nonsense')
    client.send(ping)
    await broadcast(app, 'while')
    // Notifications to the client do not wait.
    expect((await client.next()).payload).toBe('while')
    service.open()
    expect(await client.take(10)).toEqual([
      { type: 'authenticated', expires_in: expect.any(Number) },
      { type: 'subscribed', payload: ['a'] },
      error('SUBSCRIPTION_ERROR'),
      error('UNSUPPORTED_FORMAT'),
      { type: 'pong' },
      { type: 'authenticated', expires_in: expect.any(Number) },
      { type: 'unsubscribed', payload: ['a'] },
      { type: 'subscribed', payload: ['b'] },
      error('UNAUTHORIZED'),
      error('INVALID_MESSAGE'),
    ])
    expect(await client.next()).toEqual({ type: 'pong' })
  })

  test('a thousand waiting messages keep their order', async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    const token = await app.token('u')
    const expected: string[] = []
    for (let n = 0; n < 500; n++) {
      client.send({ type: 'Auth', payload: { token } })
      client.send({ type: 'Unsubscribe', payload: { channels: [`${n}`] } })
      expected.push('authenticated', `${n}`)
    }
    const answers = await client.take(1_000)
    expect(answers.map(({ type, payload }: Message) => payload?.[0] ?? type)).toEqual(expected)
  })

  test('waiting messages are bounded: too many close the connection with 1008', async () => {
    await using service = await start({ SEND_BUFFER_BYTES: '65536' })
    using client = await socketOf(service.app, 'u')
    await settle(client)
    service.shut()
    await present(service.app, client)
    for (let n = 0; n < 5; n++) client.sendRaw('x'.repeat(20_000))
    expect(await client.closed).toMatchObject({ code: 1008 })
    service.open()
    expect(client.inbox.all).toHaveLength(1)
  })

  test('handled messages no longer count against the bound', async () => {
    await using app = await startTestApp({ SEND_BUFFER_BYTES: '65536' })
    using client = await socketOf(app, 'u')
    for (let n = 0; n < 30; n++) {
      await present(app, client)
      client.send({ type: 'Unsubscribe', payload: { channels: ['x'.repeat(5_000)] } })
      expect((await client.take(2)).map(({ type }: Message) => type)).toEqual([
        'authenticated',
        'unsubscribed',
      ])
    }
  })

  test('a closed connection is left alone', async () => {
    for (const end of ['disconnect', 'close'] as const) {
      await using service = await start()
      const { app } = service
      const client = await socketOf(app, 'u')
      await settle(client)
      service.shut()
      await present(app, client)
      client.send({ type: 'Subscribe', payload: { channels: ['a'] } })
      await eventually(() => app.app.stats.messagesReceived.auth === 1)
      if (end === 'close') client.close()
      else await app.post('/api/v1/users/u/disconnect', {})
      await client.closed
      await eventually(async () => (await app.get('/health')).json.connections.total === 0)
      service.open()
      using later = await socketOf(app, 'u')
      await settle(later)
      expect((await app.get('/api/v1/channels')).json.total_channels).toBe(0)
      expect(client.inbox.all.map(({ type }) => type)).toEqual(['pong'])
      expect(app.app.stats.unhandledErrors).toBe(0)
    }
  })

  test('a client that sends Auth before its greeting is greeted first', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    using client = await socketOf(app, 'u', { cursor: '' })
    await present(app, client)
    expect((await client.take(2)).map(({ type }: Message) => type)).toEqual(['connected', 'authenticated'])
  })
})
