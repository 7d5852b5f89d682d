import { expect, test } from 'bun:test'
import { Redis } from 'ioredis'
import { signToken } from '../../src/auth/sign.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

const N = '/api/v1/notifications'
/** All pages and documents. */
const PAGES = ['/health', '/health/live', '/health/ready', '/metrics', '/openapi.json', '/docs', '/console']

/** Secrets that no output may contain, by kind. */
type Secrets = Map<string, string>

/** A unique text for each secret. */
function secretOf(secrets: Secrets, name: string): string {
  const made = `${name.replaceAll(' ', '-')}-${crypto.randomUUID()}`
  secrets.set(name, made)
  return made
}

/** Names of the secrets in a text, each with its context. */
const leaksIn = (text: string, secrets: Secrets): readonly string[] =>
  [...secrets]
    .map(([name, secret]) => [name, text.indexOf(secret), secret.length] as const)
    .filter(([, at]) => at >= 0)
    .map(([name, at, length]) => `${name}: ${text.slice(Math.max(0, at - 80), at + length + 20)}`)

/** A token whose claims and signature count as secrets. */
async function tokenOf(secrets: Secrets, name: string, secret: string, seconds = 60): Promise<string> {
  const user = 'the-user'
  const made = await signToken({ secret, user, tenant: 'acme', seconds, clock: systemClock })
  const [, claims = '', signature = ''] = made.split('.')
  secrets.set(`${name}, claims`, claims).set(`${name}, signature`, signature)
  return made
}

interface Keys {
  readonly key: string
  readonly bound: string
  readonly secret: string
  readonly previous: string
}

/** Uses every secret once. Resolves with all output except notifications. */
async function everything(
  service: Service,
  keys: Keys,
  redis: Redis,
  secrets: Secrets,
): Promise<readonly string[]> {
  const said: string[] = []
  const hide = (name: string) => secretOf(secrets, name)
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(service.url + path, init)
    const text = await response.text()
    // A successful answer may contain the requested template or log.
    if (!response.ok || path === '/stats') said.push(text)
    return response.status
  }
  const headers = { 'content-type': 'application/json', 'x-api-key': keys.key, 'x-tenant-id': 'acme' }
  const post = (path: string, body: unknown, more: object = {}) =>
    ask(path, {
      method: 'POST',
      headers: { ...headers, ...more },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  const event = (name: string) => ({ event_type: 'e', payload: { text: hide(`payload of ${name}`) } })
  const template = (name: string) => ({
    template_id: 'greeting',
    variables: { who: hide(`variable of ${name}`) },
  })

  const token = await tokenOf(secrets, 'token of a socket', keys.secret)
  const older = await tokenOf(secrets, 'token by the previous secret', keys.previous)
  const query = `token=${token}&odd=${hide('query of a socket')}`
  const socket = await connectSocket(`${service.url}/ws?${query}`)
  const spoken = await tokenOf(secrets, 'token as a subprotocol', keys.secret, 61)
  const other = await connectSocket(`${service.url}/ws`, ['bearer', spoken])
  const stream = await connectStream(`${service.url}/sse?odd=${hide('query of a stream')}`, {
    authorization: `Bearer ${older}`,
  })
  await stream.nextOf('connected')
  socket.send({ type: 'Subscribe', payload: { channels: ['orders', 'no channel'] } })
  await socket.nextOf('error')

  const created = {
    id: 'greeting',
    name: 'Greeting',
    event_type: 'e',
    payload_template: { a: hide('text of a template'), b: '{{who}}' },
  }
  expect(await post('/api/v1/templates', created)).toBe(201)
  expect(await post('/api/v1/templates', created)).toBe(409)
  const send = (name: string) => ({ target_user_id: 'the-user', ...event(name) })
  for (const [path, body] of [
    ['/send', send('a send')],
    ['/send', { target_user_id: 'the-user', ...template('a send') }],
    ['/send-to-users', { target_user_ids: ['the-user', 'away'], ...event('a send to users') }],
    ['/broadcast', event('a broadcast')],
    ['/channel', { channel: 'orders', ...event('a channel') }],
    ['/channels', { channels: ['orders'], ...event('channels') }],
    [
      '/batch',
      {
        notifications: [
          { target: { type: 'user', value: 'the-user' }, ...event('a batch') },
          { target: { type: 'user', value: 'the-user' }, ...template('a batch') },
          {
            target: { type: 'user', value: 'u' },
            template_id: 'none',
            variables: { who: hide('a wrong item') },
          },
        ],
      },
    ],
  ] as const)
    expect([path, await post(N + path, body)]).toEqual([path, 200])
  expect(await post(`${N}/send`, send('a bound key'), { 'x-api-key': keys.bound })).toBe(200)

  // Rejected requests, each with a secret that the answer must not repeat.
  const wrong = { 'x-api-key': hide('wrong key') }
  expect(await post(`${N}/send`, send('a wrong key'), wrong)).toBe(401)
  expect(
    await post(`${N}/send`, send('a foreign tenant'), { 'x-api-key': keys.bound, 'x-tenant-id': 'globex' }),
  ).toBe(403)
  expect(await post(`${N}/send`, `{"target_user_id":"u","payload":"${hide('broken JSON')}"`)).toBe(400)
  expect(await post(`${N}/send`, { target_user_id: 1, ...event('a wrong shape') })).toBe(422)
  const unknown = { ...template('an unknown template'), template_id: 'none' }
  expect(await post(`${N}/send`, { target_user_id: 'u', ...unknown })).toBe(400)
  const lacking = {
    template_id: 'greeting',
    variables: { whom: hide('variable of another name') },
    strict: true,
  }
  expect(await post(`${N}/send`, { target_user_id: 'u', ...lacking })).toBe(400)
  expect(await post(`${N}/send`, { ...send('a large body'), fill: 'x'.repeat(65_536) })).toBe(413)
  expect(await post(`${N}/send`, send('a wrong type'), { 'content-type': 'text/plain' })).toBe(415)
  expect(await post(`/nowhere?odd=${hide('query of nowhere')}`, send('an unknown path'))).toBe(404)
  const tokens = [
    await tokenOf(secrets, 'token by a wrong secret', hide('wrong secret')),
    await tokenOf(secrets, 'token that has ended', keys.secret, -3600),
    hide('no token at all'),
  ]
  for (const bad of tokens) {
    for (const path of ['/ws', '/sse', '/api/v1/me/notifications']) {
      expect(await ask(`${path}?token=${bad}`)).toBe(401)
      expect(await ask(path, { headers: { authorization: `Bearer ${bad}` } })).toBe(401)
    }
    expect(await ask('/ws', { headers: { 'sec-websocket-protocol': `bearer, ${bad}` } })).toBe(401)
    socket.send({ type: 'Auth', payload: { token: bad } })
    said.push(JSON.stringify(await socket.nextOf('error')))
  }
  for (const text of [`${hide('no JSON')}`, `{"type":"${hide('unknown message')}"}`]) {
    socket.sendRaw(text)
    said.push(JSON.stringify(await socket.nextOf('error')))
  }
  const own = `/api/v1/me/notifications?token=${token}`
  expect(await ask(own)).toBe(200)
  expect(await ask(`${own}&after=${hide('wrong cursor')}`)).toBe(400)

  // Redis messages: one is accepted, the others are rejected.
  const message = { type: 'user', target: 'the-user', tenant_id: 'acme', event: event('Redis') }
  for (const each of [
    { ...message, type: 'shout', event: event('an unknown type') },
    { ...message, event: { event_type: 1, payload: hide('payload of a wrong event') } },
    { ...message, event: { template_id: 'none', variables: { who: hide('variable over Redis') } } },
    hide('no JSON over Redis'),
    message,
  ])
    await redis.publish('notification:user:the-user', typeof each === 'string' ? each : JSON.stringify(each))
  const fromRedis = await socket.inbox.until(
    each => each.metadata?.source === 'redis:notification:user:the-user',
  )
  expect(fromRedis.payload).toEqual(message.event.payload)

  socket.send({ type: 'Ack', payload: { notification_id: fromRedis.id } })
  await socket.nextOf('acked')
  socket.send({ type: 'Auth', payload: { token: await tokenOf(secrets, 'another token', keys.secret, 90) } })
  await socket.nextOf('authenticated')
  for (const path of [...PAGES, '/stats']) {
    const response = await fetch(service.url + path, { headers })
    said.push(`${path}: ${await response.text()}`)
  }
  const disconnect = { reason: 'bye', issued_before: Math.floor(Date.now() / 1000) + 100 }
  expect(await post('/api/v1/users/the-user/disconnect', disconnect)).toBe(200)
  said.push(JSON.stringify([await socket.closed, await other.closed]))
  expect(await ask(`/sse?token=${token}`)).toBe(401)
  said.push(
    ...stream.inbox.all
      .filter(({ event: name }) => name !== 'notification')
      .map(each => JSON.stringify(each)),
  )
  return said
}

for (const mode of ['development', 'production'])
  test(`in ${mode}, no log line at any level, no error and no page repeats a secret`, async () => {
    const secrets: Secrets = new Map()
    const password = secretOf(secrets, 'password of Redis')
    const keys = {
      key: secretOf(secrets, 'API key'),
      bound: secretOf(secrets, 'bound API key'),
      secret: secretOf(secrets, 'JWT secret'),
      previous: secretOf(secrets, 'previous JWT secret'),
    }
    await using redis = await startRedis('--requirepass', password)
    const authority = `127.0.0.1:${redis.port}`
    const env = {
      RUN_MODE: mode,
      LOG_LEVEL: 'trace',
      JWT_SECRET: keys.secret,
      JWT_SECRET_PREVIOUS: keys.previous,
      API_KEY: keys.key,
      TENANT_API_KEYS: `acme:${keys.bound}`,
      TENANT_ENABLED: 'true',
      QUEUE_ENABLED: 'true',
      ACK_ENABLED: 'true',
      RATELIMIT_ENABLED: 'true',
      RATELIMIT_WS_CONNECTIONS_PER_MINUTE: '1000',
      DRAIN_SECONDS: '0',
      REDIS_URL: `redis://:${password}@${authority}`,
    }
    await using service = await startService(env)
    const refused = `redis://:${secretOf(secrets, 'wrong password of Redis')}@${authority}`
    await using second = await startService({ ...env, REDIS_URL: refused })
    await service.line('redis.connected')
    await second.line('redis.unavailable')

    const publisher = new Redis({ port: redis.port, host: '127.0.0.1', password })
    const said = await everything(service, keys, publisher, secrets)
    publisher.disconnect()
    await redis.kill()
    await eventually(() => service.lines.some(({ event }) => event === 'redis.lost'))
    const logged: string[] = []
    for (const each of [service, second]) {
      each.signal('SIGTERM')
      const { code, stdout, stderr } = await each.ended
      expect(code).toBe(0)
      logged.push(stdout, stderr)
    }

    expect(secrets.size).toBeGreaterThan(40)
    expect(leaksIn([...said, ...logged].join('\n'), secrets)).toEqual([])
    // Proves that the search finds text that exists.
    for (const event of [
      'connection.opened',
      'connection.closed',
      'auth.refused',
      'redis.rejected',
      'redis.lost',
    ])
      expect(logged.join()).toContain(event)
    expect(said.join()).toContain('UNAUTHORIZED')
    expect(leaksIn(logged.join(), new Map([['user', 'the-user']]))).toHaveLength(1)
    for (const [name, secret] of secrets)
      expect(leaksIn(`… ${secret} …`, secrets).map(leak => leak.split(': ', 1)[0])).toContain(name)
  }, 30_000)
