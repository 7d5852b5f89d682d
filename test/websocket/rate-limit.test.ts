import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { createStoppedClock } from '../support/clock.ts'
import { connectRaw } from '../support/raw-socket.ts'
import { broadcast, rawOf, settle, socketOf, streamOf } from '../support/visit.ts'

const LIMITED = { type: 'error', code: 'RATE_LIMITED', message: expect.any(String) }
const [TEXT, PING, PONG] = [1, 9, 10]

async function start(env: Environment = {}, wrapStore?: (store: Store) => Store) {
  const clock = createStoppedClock()
  const app = await startTestApp(
    // Timers that depend on a jumping clock do not matter here.
    {
      RATELIMIT_ENABLED: 'true',
      WEBSOCKET_CONNECTION_TIMEOUT: '36000',
      WEBSOCKET_HEARTBEAT_INTERVAL: '3600',
      ...env,
    },
    { clock, ...(wrapStore && { wrapStore }) },
  )
  return { app, clock, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() }
}

describe('connections of an address', () => {
  /** Connects with a valid token and without upgrade headers: 426 unless limited. */
  const tryOut = async (app: TestApp, headers: Record<string, string> = {}) =>
    app.get(`/ws?token=${await app.token('u')}`, headers)
  const statuses = async (app: TestApp, count: number) => {
    const got: number[] = []
    for (let n = 0; n < count; n++) got.push((await tryOut(app)).status)
    return got
  }

  test('may be ten at once and then ten a minute', async () => {
    await using service = await start()
    const { app, clock } = service
    expect(await statuses(app, 11)).toEqual([...Array(10).fill(426), 429])
    const denied = await tryOut(app)
    expect(denied.json).toEqual({ error: { code: 'RATE_LIMITED', message: expect.any(String) } })
    expect(denied.headers.get('retry-after')).toBe('6')
    expect(denied.headers.get('x-ratelimit-limit')).toBe('10')
    expect(denied.headers.get('x-ratelimit-remaining')).toBe('0')
    expect(Number(denied.headers.get('x-ratelimit-reset')) - clock.now()).toBeWithin(59_999, 60_002)
    clock.jump(5.9)
    expect((await tryOut(app)).headers.get('retry-after')).toBe('1')
    clock.jump(0.1)
    expect(await statuses(app, 2)).toEqual([426, 429])
    clock.jump(60)
    expect(await statuses(app, 11)).toEqual([...Array(10).fill(426), 429])
    let taken = 0
    for (let second = 0; second < 600; second++) {
      clock.jump(1)
      if ((await tryOut(app)).status === 426) taken++
    }
    expect(taken).toBe(100)
  })

  test('count over WebSocket and SSE together, whatever their result; allowed ones carry no rate headers', async () => {
    await using service = await start({ RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '6' })
    const { app } = service
    using socket = await connectRaw(app.port, `/ws?token=${await app.token('u')}`)
    expect(socket.head).not.toMatch(/^x-ratelimit/im)
    using stream = await streamOf(app, 'u')
    expect(stream.response.headers.has('x-ratelimit-limit')).toBe(false)
    const asked = [
      await app.get('/ws?token=wrong'),
      await app.get('/sse'),
      await app.get('/sse?token=a&token=b'),
      await tryOut(app),
    ]
    expect(asked.map(({ status, headers }) => [status, headers.has('x-ratelimit-limit')])).toEqual([
      [401, false],
      [401, false],
      [400, false],
      [426, false],
    ])
    for (const path of [`/sse?token=${await app.token('u')}`, '/ws?token=wrong', '/sse?token=a&token=b'])
      expect((await app.get(path)).status).toBe(429)
    expect(await settleStats(app)).toEqual({ allowed: 6, denied: 3, rate: 3, token: 2 })
    // HTTP requests have their own buckets.
    expect((await broadcast(app, 1)).delivered_to).toBe(2)
  })

  const settleStats = async ({ app: { stats } }: TestApp) => ({
    allowed: stats.rateAllowed.ws,
    denied: stats.rateDenied.ws,
    rate: stats.connectionsRefused.rate,
    token: stats.connectionsRefused.token,
  })

  test('from a wrong origin are rejected first and do not count', async () => {
    await using service = await start({
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
      CORS_ORIGINS: 'https://a.example',
    })
    const { app } = service
    for (let n = 0; n < 3; n++) expect((await tryOut(app, { origin: 'https://b.example' })).status).toBe(403)
    expect(await statuses(app, 2)).toEqual([426, 429])
    const denied = await tryOut(app, { origin: 'https://a.example' })
    expect([denied.status, denied.headers.get('access-control-allow-origin')]).toEqual([
      429,
      'https://a.example',
    ])
    expect((await tryOut(app, { origin: 'https://b.example' })).status).toBe(403)
    expect(app.app.stats.connectionsRefused).toMatchObject({ origin: 4, rate: 2 })
  })

  test('are told apart by the address that a trusted proxy reports', async () => {
    await using service = await start({
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
      TRUSTED_PROXIES: '127.0.0.1',
    })
    const { app } = service
    const from = async (forwarded: string) => (await tryOut(app, { 'x-forwarded-for': forwarded })).status
    expect(await from('198.51.100.1')).toBe(426)
    expect(await from('198.51.100.2')).toBe(426)
    expect(await from('203.0.113.9, 198.51.100.1')).toBe(429)
    using socket = await socketOf(app, 'u', { headers: { 'x-forwarded-for': '198.51.100.3' } })
    expect(await settle(socket)).toEqual([])
    expect(await from('198.51.100.3')).toBe(429)
  })

  test('are not limited when limits are switched off', async () => {
    await using service = await start({
      RATELIMIT_ENABLED: 'false',
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1',
    })
    expect(await statuses(service.app, 5)).toEqual(Array(5).fill(426))
  })
})

describe('messages of a client', () => {
  const ENV = { RATELIMIT_WS_MESSAGES_PER_SECOND: '5' }
  const subscribe = (channel: string) => ({ type: 'Subscribe', payload: { channels: [channel] } })

  test('have a burst and a rate; a message over the rate gets an error and no effect', async () => {
    await using service = await start(ENV)
    const { app, clock } = service
    using client = await socketOf(app, 'u')
    for (const channel of 'abcdef') client.send(subscribe(channel))
    const answers = await client.take(6)
    expect(answers.slice(0, 5).map(({ payload }) => payload)).toEqual([...'abcde'].map(name => [name]))
    expect(answers[5]).toEqual(LIMITED)
    const publish = (channel: string) =>
      app.post('/api/v1/notifications/channel', { channel, event_type: 'e', payload: channel })
    expect((await publish('f')).json.delivered_to).toBe(0)
    expect((await publish('e')).json.delivered_to).toBe(1)
    expect((await client.next()).payload).toBe('e')
    clock.jump(0.199)
    client.send(subscribe('f'))
    expect(await client.next()).toEqual(LIMITED)
    clock.jump(0.001)
    client.send(subscribe('f'))
    expect(await client.next()).toEqual({ type: 'subscribed', payload: ['f'] })
    expect(app.app.stats.messagesLimited).toBe(2)
  })

  test('over the rate for the third time within a minute close the connection with 1008', async () => {
    await using service = await start({ RATELIMIT_WS_MESSAGES_PER_SECOND: '1' })
    using client = await socketOf(service.app, 'u')
    using other = await socketOf(service.app, 'u')
    for (let n = 0; n < 5; n++) client.send({ type: 'Ping' })
    expect(await client.take(4)).toEqual([{ type: 'pong' }, LIMITED, LIMITED, LIMITED])
    expect(await client.closed).toEqual({ code: 1008, reason: 'too many messages' })
    expect(client.inbox.all).toHaveLength(4)
    expect(service.app.app.stats.messagesLimited).toBe(3)
    expect(await settle(other)).toEqual([])
    expect((await service.app.get('/health')).json.connections.total).toBe(1)
  })

  test('over the rate less than three times in any minute never close the connection', async () => {
    await using service = await start({ RATELIMIT_WS_MESSAGES_PER_SECOND: '1' })
    const { app, clock } = service
    using client = await socketOf(app, 'u')
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 3; n++) client.send({ type: 'Ping' })
      expect(await client.take(3)).toEqual([{ type: 'pong' }, LIMITED, LIMITED])
      clock.jump(60.1)
    }
    for (let n = 0; n < 3; n++) client.send({ type: 'Ping' })
    await client.take(3)
    clock.jump(59.9)
    for (let n = 0; n < 2; n++) client.send({ type: 'Ping' })
    expect(await client.take(2)).toEqual([{ type: 'pong' }, LIMITED])
    expect((await client.closed).code).toBe(1008)
  })

  test('count even when they are binary, malformed or an Ack', async () => {
    await using service = await start({ RATELIMIT_WS_MESSAGES_PER_SECOND: '3' })
    using client = await socketOf(service.app, 'u')
    client.sendRaw(new Uint8Array([1]))
    client.sendRaw('no message')
    client.send({ type: 'Ack', payload: { cursor: 'e:1' } })
    client.send({ type: 'Ping' })
    client.sendRaw(new Uint8Array([1]))
    expect((await client.take(4)).map(({ code }) => code)).toEqual([
      'UNSUPPORTED_FORMAT',
      'INVALID_MESSAGE',
      'RATE_LIMITED',
      'RATE_LIMITED',
    ])
  })

  test('do not include control frames: pings and pongs are free', async () => {
    await using service = await start({ RATELIMIT_WS_MESSAGES_PER_SECOND: '1' })
    using client = await rawOf(service.app, 'u')
    for (let n = 0; n < 100; n++) {
      client.send(PING, 'x')
      client.send(PONG, 'x')
    }
    client.send(TEXT, '{"type":"Ping"}')
    expect(await client.next()).toEqual({ type: 'pong' })
    client.send(TEXT, '{"type":"Ping"}')
    expect(await client.next()).toEqual(LIMITED)
  })

  test('count on arrival and are answered after `connected`', async () => {
    const gate = Promise.withResolvers<void>()
    await using service = await start(
      { RATELIMIT_WS_MESSAGES_PER_SECOND: '2', QUEUE_ENABLED: 'true' },
      store => ({
        ...store,
        log: {
          ...store.log,
          open: async owner => {
            await gate.promise
            return store.log.open(owner)
          },
        },
      }),
    )
    const { app, clock } = service
    using client = await rawOf(app, 'u', { cursor: '' })
    const say = async (count: number) => {
      for (let n = 0; n < count; n++) client.send(TEXT, '{"type":"Ping"}')
      // The pong shows that the server has read everything before the ping.
      client.send(PING, `${count}`)
      await client.frames.until(({ opcode }) => opcode === PONG)
    }
    await say(3)
    clock.jump(1)
    await say(2)
    gate.resolve()
    const messages = [await client.next()]
    while (messages.length < 6) messages.push(await client.next())
    expect(messages.map(({ type, code }) => code ?? type)).toEqual([
      'connected',
      'pong',
      'pong',
      'RATE_LIMITED',
      'pong',
      'pong',
    ])
  })

  test('are not limited when limits are switched off', async () => {
    await using service = await start({ RATELIMIT_ENABLED: 'false', RATELIMIT_WS_MESSAGES_PER_SECOND: '1' })
    using client = await socketOf(service.app, 'u')
    for (let n = 0; n < 200; n++) client.send({ type: 'Ping' })
    expect(await client.take(200)).toEqual(Array(200).fill({ type: 'pong' }))
  })
})
