import { afterAll, describe, expect, test } from 'bun:test'
import type { Message, SocketClient } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { startHearing, subscribed, verdictOf } from '../support/trigger.ts'
import { eventually, rawOf, settle, socketOf, streamOf } from '../support/visit.ts'

const redis = await startRedis()
const app = await startHearing(redis)
afterAll(async () => {
  await app[Symbol.asyncDispose]()
  await redis[Symbol.asyncDispose]()
})

const EVENT = { event_type: 'e', payload: null }
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const AT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const notification = (more: object): Message => ({
  type: 'notification',
  id: expect.stringMatching(ID),
  occurred_at: expect.stringMatching(AT),
  ...more,
})

describe('A message reaches', () => {
  test('the users it names, not the Redis channel of its name, byte for byte as documented', async () => {
    using seven = await subscribed(app, 'u-7')
    using eight = await subscribed(app, 'u-8')
    using other = await subscribed(app, 'u-9', 'any')
    const text = '{"type":"users","target":["u-7","u-8"],"event":{"event_type":"e","payload":[1,2]}}'
    expect(await redis.publish('notification:channel:any', text)).toBe(1)
    const expected = notification({
      event_type: 'e',
      payload: [1, 2],
      metadata: { source: 'redis:notification:channel:any', priority: 'Normal' },
    })
    for (const client of [seven, eight]) expect(await client.next()).toEqual(expected)
    expect(await settle(other)).toEqual([])
  })

  const KINDS: readonly [message: object, reached: readonly string[]][] = [
    [{ type: 'user', target: 'a' }, ['a']],
    [{ type: 'user', target: 'nobody' }, []],
    [{ type: 'users', target: ['a', 'b', 'a', 'nobody'] }, ['a', 'b']],
    [{ type: 'users', target: 'b' }, ['b']],
    [{ type: 'users', target: [] }, []],
    [{ type: 'broadcast' }, ['a', 'b', 'c']],
    [{ type: 'broadcast', target: 'ignored' }, ['a', 'b', 'c']],
    [{ type: 'broadcast', target: { odd: 1 }, audience: null }, ['a', 'b', 'c']],
    [{ type: 'broadcast', audience: { type: 'All' } }, ['a', 'b', 'c']],
    [{ type: 'broadcast', audience: { type: 'Users', value: ['c', 'x'] } }, ['c']],
    [{ type: 'broadcast', audience: { type: 'Channels', value: ['x', 'z'] } }, ['a']],
    [{ type: 'broadcast', audience: { type: 'Roles', value: [] } }, []],
    [{ type: 'channel', target: 'x' }, ['a']],
    [{ type: 'channel', target: 'empty' }, []],
    [{ type: 'channels', target: ['x', 'y'] }, ['a', 'b']],
    [{ type: 'channels', target: 'y' }, ['a', 'b']],
    [{ type: 'channels', target: [] }, []],
    [{ type: 'user', target: 'a', audience: { type: 'Users', value: ['b'] } }, ['a']],
    [{ type: 'user', target: 'a', tenant_id: 'acme' }, ['a']],
    [{ type: 'user', target: 'a', tenant_id: null, unknown: 1 }, ['a']],
    [{ type: 'user', target: 'a', idempotency_key: '!'.repeat(255) }, ['a']],
    [{ type: 'user', target: 'a', idempotency_key: null, traceparent: null, tracestate: null }, ['a']],
    [{ type: 'user', target: 'a', traceparent: 'no such trace', tracestate: 'a=1' }, ['a']],
  ]
  for (const [message, reached] of KINDS)
    test(`${JSON.stringify(message).slice(0, 100)} → ${reached.join(', ') || 'nobody'}`, async () => {
      const clients: Record<string, SocketClient> = {
        a: await subscribed(app, 'a', 'x', 'y'),
        b: await subscribed(app, 'b', 'y'),
        c: await subscribed(app, 'c'),
      }
      expect(await verdictOf(app, redis, { ...message, event: EVENT })).toBeUndefined()
      for (const [name, client] of Object.entries(clients)) {
        const got = await settle(client)
        expect([name, got.length]).toEqual([name, reached.includes(name) ? 1 : 0])
        client.close()
      }
    })

  test('streams too, whatever the name of its Redis channel', async () => {
    using stream = await streamOf(app, 's')
    await redis.publish('notification:broadcast', { type: 'user', target: 's', event: EVENT })
    const { data } = await stream.nextOf('notification')
    expect(data.metadata.source).toBe('redis:notification:broadcast')
  })
})

describe('With tenants a message', () => {
  test('reaches users of its tenant, or of the default tenant, and an invalid tenant is rejected', async () => {
    await using service = await startHearing(redis, { TENANT_ENABLED: 'true' })
    using own = await socketOf(service, 'u', { claims: { tenant_id: 'acme' } })
    using nobodys = await socketOf(service, 'u')
    const say = (tenant_id: unknown, payload: string, type = 'user') =>
      verdictOf(service, redis, { type, target: 'u', tenant_id, event: { ...EVENT, payload } })
    expect(await say('acme', 'for acme')).toBeUndefined()
    expect(await say('acme', 'for all of acme', 'broadcast')).toBeUndefined()
    expect(await say(undefined, 'for default')).toBeUndefined()
    expect(await say(null, 'for default too')).toBeUndefined()
    for (const tenant of ['', 'a b', 'a:b', 'x'.repeat(65), 5]) expect(await say(tenant, 'no')).toBe('tenant')
    const payloads = (messages: Message[]) => messages.map(({ payload }) => payload)
    expect(payloads(await settle(own))).toEqual(['for acme', 'for all of acme'])
    expect(payloads(await settle(nobodys))).toEqual(['for default', 'for default too'])
  })
})

describe('A delivered notification', () => {
  test('has every field of the event, and its payload to the digit', async () => {
    using client = await subscribed(app, 'digits')
    const payload = '{"b":1e400,"a":-0,"10":1.10,"9":12345678901234567890,"s":"\\u00e4\\ud800<\\/b>","n":[ ]}'
    await redis.publish(
      'notification:user:ü"\\',
      `{"event":{"ttl":4294967295,"payload": ${payload} ,"correlation_id":"c-1","priority":"Critical",` +
        '"event_type":"invoice.paid","other":[]},"target":"digits","type":"user"}',
    )
    expect(await client.next()).toEqual(
      notification({
        event_type: 'invoice.paid',
        payload: JSON.parse(payload),
        metadata: {
          source: 'redis:notification:user:ü"\\',
          priority: 'Critical',
          ttl: 4_294_967_295,
          correlation_id: 'c-1',
        },
      }),
    )
  })

  test('has the payload as the sender wrote it, not as a parser would write it', async () => {
    using socket = await rawOf(app, 'raw')
    const payload = '{"b":1e400,"a":-0,"1":1.10,"s":"\\ud800<\\/b>"}'
    await redis.publish(
      CHANNEL,
      `{"type":"user","target":"raw","event":{"event_type":"e","payload":${payload}}}`,
    )
    const { payload: frame } = await socket.frames.until(({ opcode }) => opcode === 1)
    expect(frame.toString()).toContain(`"payload":${payload},"metadata"`)
  })

  test('has the audience as given', async () => {
    using client = await subscribed(app, 'audience')
    const audience = { type: 'Users', value: ['audience', 'x'] }
    await redis.publish('notification:broadcast', { type: 'broadcast', audience, event: EVENT })
    expect((await client.next()).metadata.audience).toEqual(audience)
  })
})

const message = (more: object) => ({ type: 'user', target: 'u', event: EVENT, ...more })
const event = (more: object) => message({ event: { ...EVENT, ...more } })
const without = (key: 'event_type' | 'payload') => {
  const { [key]: _, ...rest } = EVENT
  return message({ event: rest })
}
const nested = (levels: number) =>
  `{"type":"user","target":"u","event":{"event_type":"e","payload":${'['.repeat(levels - 2)}${']'.repeat(levels - 2)}}}`
const OK = JSON.stringify(message({}))
const ofBytes = (bytes: number) =>
  JSON.stringify(message({ other: '' })).replace(
    '""',
    `"${'x'.repeat(bytes - JSON.stringify(message({ other: '' })).length)}"`,
  )
const CHANNEL = 'notification:user:any'
const MIB = 1_048_576

describe('A message is accepted', () => {
  const TAKEN: readonly [what: string, message: string | object][] = [
    ['with 64 levels', nested(64)],
    ['of 1 MiB with its channel’s name', ofBytes(MIB - CHANNEL.length)],
    ['with a payload of 65,536 bytes', event({ payload: 'ü'.repeat(32_767) })],
    [
      'with 10,000 users',
      message({ type: 'users', target: Array.from({ length: 10_000 }, (_, n) => `${n}`) }),
    ],
    [
      'with 100 channels',
      message({ type: 'channels', target: Array.from({ length: 100 }, (_, n) => `${n}`) }),
    ],
    ['with null for optional fields', event({ ttl: null, correlation_id: null })],
    ['with blanks around it', ` \n${OK}\t`],
    ['with a template_id that is no string', event({ template_id: 5 })],
    ['with a user id of 256 bytes', message({ target: 'ü'.repeat(128) })],
    ['with repeated keys in its payload', OK.replace('null', '{"a":1,"a":2}')],
  ]
  for (const [what, text] of TAKEN)
    test(what, async () => {
      expect(await verdictOf(app, redis, text)).toBeUndefined()
    })

  test('and is dispatched before later ones', async () => {
    using last = await subscribed(app, 'last')
    await redis.publish(CHANNEL, message({ target: 'last' }))
    await last.next()
  })
})

describe('A message is rejected', () => {
  const BAD: readonly [reason: string, message: string | object | Buffer][] = [
    ['invalid_json', ''],
    ['invalid_json', ' '],
    ['invalid_json', 'hello'],
    ['invalid_json', '{'],
    ['invalid_json', `${OK}x`],
    ['invalid_json', `${OK}${OK}`],
    ['invalid_json', OK.replaceAll('"', "'")],
    ['invalid_json', OK.replace('}', ',}')],
    ['invalid_json', OK.replace('null', 'NaN')],
    ['invalid_json', OK.replace('null', '01')],
    ['invalid_json', OK.replace('null', '"\n"')],
    ['invalid_json', `\uFEFF${OK}`],
    ['invalid_json', Buffer.concat([Buffer.from(OK.slice(0, -3)), Buffer.from([0xff]), Buffer.from('"}}')])],
    ['invalid_json', nested(65)],
    ['invalid_json', nested(5_000)],
    ['invalid_shape', 'null'],
    ['invalid_shape', '5'],
    ['invalid_shape', '"user"'],
    ['invalid_shape', '[]'],
    ['invalid_shape', `[${OK}]`],
    ['invalid_shape', '{}'],
    ['invalid_shape', { target: 'u', event: EVENT }],
    ['invalid_shape', message({ type: null })],
    ['invalid_shape', message({ type: ['user'] })],
    ['invalid_shape', { type: 'user', target: 'u' }],
    ['invalid_shape', message({ event: null })],
    ['invalid_shape', message({ event: [] })],
    ['invalid_shape', message({ event: 'e' })],
    ['invalid_shape', { type: 'user', target: 'u', ...EVENT }],
    ['invalid_shape', without('event_type')],
    ['invalid_shape', without('payload')],
    ['invalid_shape', event({ event_type: '' })],
    ['invalid_shape', event({ event_type: 'x'.repeat(129) })],
    ['invalid_shape', event({ event_type: 'a\nb' })],
    ['invalid_shape', event({ event_type: 5 })],
    ['invalid_shape', event({ priority: null })],
    ['invalid_shape', event({ priority: 'high' })],
    ['invalid_shape', event({ priority: 'HIGH' })],
    ['invalid_shape', event({ priority: 2 })],
    ['invalid_shape', event({ ttl: -1 })],
    ['invalid_shape', event({ ttl: '60' })],
    ['invalid_shape', event({ ttl: 4_294_967_296 })],
    ['invalid_shape', JSON.stringify(event({ ttl: 7 })).replace('7', '7.0')],
    ['invalid_shape', event({ correlation_id: 'x'.repeat(257) })],
    ['invalid_shape', event({ correlation_id: 5 })],
    ['invalid_shape', OK.replace('"type"', '"type":"user","type"')],
    ['invalid_shape', OK.replace('"payload"', '"payload":1,"payload"')],
    ['invalid_shape', OK.replace('"payload"', '"payload":1,"p\\u0061yload"')],
    ['invalid_shape', message({ idempotency_key: '' })],
    ['invalid_shape', message({ idempotency_key: 'two words' })],
    ['invalid_shape', message({ idempotency_key: '!'.repeat(256) })],
    ['invalid_shape', message({ idempotency_key: 5 })],
    ['invalid_shape', message({ traceparent: 5 })],
    ['invalid_shape', message({ tracestate: {} })],
    ['invalid_shape', message({ type: 'broadcast', audience: 'All' })],
    ['invalid_shape', message({ type: 'broadcast', audience: { type: 'all' } })],
    [
      'invalid_shape',
      message({
        type: 'broadcast',
        audience: { type: 'Roles', value: Array.from({ length: 101 }, () => 'r') },
      }),
    ],
    ['unknown_type', message({ type: 'User' })],
    ['unknown_type', message({ type: '' })],
    ['unknown_type', message({ type: 'all' })],
    ['unknown_type', message({ type: 'toString' })],
    ['invalid_target', { type: 'user', event: EVENT }],
    ['invalid_target', message({ target: null })],
    ['invalid_target', message({ target: 5 })],
    ['invalid_target', message({ target: '' })],
    ['invalid_target', message({ target: '..' })],
    ['invalid_target', message({ target: ['u'] })],
    ['invalid_target', message({ target: 'a\u0000b' })],
    ['invalid_target', message({ target: 'ü'.repeat(129) })],
    ['invalid_target', { type: 'users', event: EVENT }],
    ['invalid_target', message({ type: 'users', target: { 0: 'u' } })],
    ['invalid_target', message({ type: 'users', target: ['u', 5] })],
    ['invalid_target', message({ type: 'users', target: ['u', ''] })],
    ['invalid_target', message({ type: 'users', target: '' })],
    ['invalid_target', message({ type: 'users', target: Array.from({ length: 10_001 }, (_, n) => `${n}`) })],
    ['invalid_target', message({ type: 'channel', target: ['x'] })],
    ['invalid_target', message({ type: 'channel', target: 'two words' })],
    ['invalid_target', message({ type: 'channel', target: 'a:b' })],
    ['invalid_target', message({ type: 'channel', target: 'x'.repeat(65) })],
    ['invalid_target', message({ type: 'channels', target: ['x', 'a/b'] })],
    ['invalid_target', message({ type: 'channels', target: Array.from({ length: 101 }, (_, n) => `${n}`) })],
    ['unknown_template', message({ event: { template_id: 't' } })],
    ['unknown_template', message({ event: { template_id: '', variables: {} } })],
    ['unknown_template', event({ template_id: 't' })],
    ['too_large', ofBytes(MIB - CHANNEL.length + 1)],
    ['too_large', event({ payload: 'x'.repeat(65_535) })],
    ['too_large', event({ payload: 'ü'.repeat(32_768) })],
    ['tenant', message({ tenant_id: 5 })],
    ['tenant', message({ tenant_id: ['acme'] })],
  ]
  let n = 0
  for (const [reason, text] of BAD)
    test(`${reason} (${++n}): ${(Buffer.isBuffer(text) ? text.toString() : typeof text === 'string' ? text : JSON.stringify(text)).slice(0, 90)}`, async () => {
      using client = await subscribed(app, 'u', 'x')
      expect(await verdictOf(app, redis, text)).toBe(reason as never)
      expect(await settle(client)).toEqual([])
    })

  test('with a log line that names the reason and the place, without any content', async () => {
    const secret = 'a-secret-that-nobody-may-read'
    await using fresh = await startHearing(redis)
    const channel = `notification:user:${'n'.repeat(300)}`
    await verdictOf(fresh, redis, event({ payload: secret, ttl: secret, [secret]: 1 }), channel)
    await verdictOf(fresh, redis, `{"${secret}"`)
    const common = { level: 'warn', ts: expect.any(String), event: 'redis.rejected' }
    expect(fresh.lines.filter(line => line['event'] === 'redis.rejected')).toEqual([
      {
        ...common,
        channel: channel.slice(0, 256),
        reason: 'invalid_shape',
        fault: { path: 'event.ttl', message: 'expected a whole number of seconds (got a string)' },
      },
      { ...common, channel: CHANNEL, reason: 'invalid_json' },
    ])
    expect(JSON.stringify(fresh.lines)).not.toContain(secret)
  })

  test('with at most 10 log lines per second', async () => {
    let seconds = 1_000
    const clock = { now: () => Date.now(), monotonic: () => seconds * 1_000 }
    await using fresh = await startHearing(redis, {}, { clock })
    const lines = () => fresh.lines.filter(line => line['event'] === 'redis.rejected')
    const client = redis.client()
    await Promise.all(Array.from({ length: 3_000 }, () => client.publish(CHANNEL, 'bad')))
    await eventually(() => fresh.app.stats.redisMessagesRejected.invalid_json === 3_000)
    expect(lines()).toHaveLength(10)
    seconds++
    await verdictOf(fresh, redis, 'bad')
    expect(lines().at(-1)).toMatchObject({ held_back: 2_990 })
  })
})

test('each accepted message counts as one send, and /stats shows the state of the connection', async () => {
  await using counting = await startHearing(redis)
  using client = await subscribed(counting, 'u', 'c')
  const targets = [
    { type: 'user', target: 'u' },
    { type: 'users', target: ['u', 'v'] },
    { type: 'broadcast' },
    { type: 'channel', target: 'c' },
    { type: 'channels', target: ['c', 'd'] },
  ]
  for (const each of targets) await redis.publish('notification:user:u', { ...each, event: EVENT })
  await redis.publish('notification:user:u', 'no JSON')
  await eventually(() => counting.app.stats.redisMessagesReceived === targets.length + 1)
  for (const _ of targets) await client.nextOf('notification')
  expect((await counting.get('/stats')).json).toMatchObject({
    notifications: {
      total_sent: 5,
      total_delivered: 5,
      total_failed: 0,
      user_notifications: 2,
      broadcast_notifications: 1,
      channel_notifications: 2,
    },
    redis: {
      status: 'healthy',
      connected: true,
      circuit_breaker_state: 'closed',
      circuit_breaker_failures: 0,
      reconnection_attempts: 0,
      total_reconnections: 0,
    },
  })
})
