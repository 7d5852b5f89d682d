import { expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket, connectStream, type SocketClient, type StreamClient } from '../support/client.ts'
import { connectRaw } from '../support/raw-socket.ts'

const AT = '/api/v1/notifications'
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const CURSOR = /^[A-Za-z0-9_-]{1,32}:[1-9]\d*$/
const EVENT = { event_type: 'e', payload: null }
const LOG_ON = { QUEUE_ENABLED: 'true' }

/** One request per endpoint that reaches user `u`, who subscribes to `c`. */
const TO_U: Record<string, object> = {
  '/send': { target_user_id: 'u' },
  '/send-to-users': { target_user_ids: ['u'] },
  '/broadcast': {},
  '/channel': { channel: 'c' },
  '/channels': { channels: ['c'] },
}

/** A live WebSocket of the user, subscribed to the channels. */
async function listen(service: TestApp, user: string, channels: readonly string[] = [], claims = {}) {
  const client = await connectSocket(`${service.url}/ws?token=${await service.token(user, claims)}`)
  client.send({ type: 'Subscribe', payload: { channels } })
  client.send({ type: 'Ping' })
  await client.nextOf('pong')
  return client
}

/** A live SSE stream of the user. */
async function stream(service: TestApp, user: string, claims = {}) {
  const client = await connectStream(`${service.url}/sse?token=${await service.token(user, claims)}`)
  await client.nextOf('connected')
  return client
}

/** Proves that a client received nothing: earlier messages would precede the pong. */
async function expectNothingOn(client: SocketClient) {
  client.send({ type: 'Ping' })
  expect(await client.next()).toEqual({ type: 'pong' })
}

/** The text of the next notification on a raw WebSocket. */
const nextText = async (client: Awaited<ReturnType<typeof connectRaw>>) =>
  (await client.frames.until(({ opcode }) => opcode === 1)).payload.toString()

/** A send result without id and time. */
const result = (delivered: number, queued: number, status: string, failed = 0) => ({
  success: delivered > 0 || queued > 0,
  notification_id: expect.stringMatching(UUID_V4),
  delivered_to: delivered,
  failed,
  timestamp: expect.stringMatching(TIMESTAMP),
  queued,
  status,
})
const NOBODY = result(0, 0, 'no_recipient')

/** The raw events of an SSE stream after `connected`. */
async function textOfStream(url: string) {
  const reader = (await fetch(url)).body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const next = async (): Promise<string> => {
    for (let end = text.indexOf('\n\n'); end < 0; end = text.indexOf('\n\n'))
      text += (await reader?.read())?.value ?? expect.unreachable('the stream has ended')
    const [block = ''] = text.split('\n\n', 1)
    text = text.slice(block.length + 2)
    // Skips comments.
    const event = block.replace(/^(?::.*\n?)+/, '')
    return event === '' ? next() : event
  }
  expect(await next()).toStartWith('event: connected\n')
  return { next, end: () => reader?.cancel() }
}

const A1 =
  '{"target_user_id":"u-7","event_type":"invoice.paid","payload":{"no":42,"ok":true},"priority":"High","ttl":600,"correlation_id":"c-1"}'

test('a send to a user on two sockets is answered and framed as documented', async () => {
  await using service = await startTestApp(LOG_ON)
  const path = `/ws?token=${await service.token('u-7')}`
  using first = await connectRaw(service.port, path)
  using second = await connectRaw(service.port, path)
  const { status, text, json } = await service.post(`${AT}/send`, A1)
  expect(status).toBe(200)
  expect(text).toBe(
    `{"success":true,"notification_id":"${json.notification_id}","delivered_to":2,"failed":0,"timestamp":"${json.timestamp}","queued":0,"status":"delivered"}`,
  )
  const frame = await nextText(first)
  const { id, occurred_at: at, cursor } = JSON.parse(frame)
  expect(frame).toBe(
    `{"type":"notification","id":"${json.notification_id}","occurred_at":"${at}","event_type":"invoice.paid","payload":{"no":42,"ok":true},"metadata":{"source":"http-api","priority":"High","ttl":600,"correlation_id":"c-1"},"cursor":"${cursor}"}`,
  )
  expect(await nextText(second)).toBe(frame)
  expect(id).toMatch(UUID_V4)
  for (const time of [at, json.timestamp]) expect(time).toMatch(TIMESTAMP)
  expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(json.timestamp))
  expect(Math.abs(Date.now() - Date.parse(at))).toBeLessThan(60_000)
  expect(cursor).toMatch(CURSOR)
})

test('with the log on a send to an offline user is queued', async () => {
  await using service = await startTestApp(LOG_ON)
  expect((await service.post(`${AT}/send`, A1)).json).toEqual(result(0, 1, 'queued'))
})

test('with the log off an offline user is no recipient, and an online user gets no cursor', async () => {
  await using service = await startTestApp()
  expect((await service.post(`${AT}/send`, A1)).json).toEqual(NOBODY)
  using client = await listen(service, 'u-7')
  expect((await service.post(`${AT}/send`, A1)).json).toEqual(result(1, 0, 'delivered'))
  expect(Object.keys(await client.next()).join()).toBe('type,id,occurred_at,event_type,payload,metadata')
})

test.each(Object.keys(TO_U))('%s delivers to sockets, and answers no_recipient without any', async path => {
  await using service = await startTestApp()
  const body = { ...TO_U[path], ...EVENT }
  expect((await service.post(AT + path, body)).json).toEqual(NOBODY)
  using inside = await listen(service, 'u', ['c'])
  using outside = await listen(service, 'other', ['d'])
  const { json } = await service.post(AT + path, body)
  const heard = path === '/broadcast' ? 2 : 1
  expect(json).toEqual(result(heard, 0, 'delivered'))
  expect((await inside.next()).id).toBe(json.notification_id)
  if (heard === 1) await expectNothingOn(outside)
})

test('each call has its own id, which all recipients share', async () => {
  await using service = await startTestApp(LOG_ON)
  using a = await listen(service, 'a')
  using b = await listen(service, 'b')
  const body = { target_user_ids: ['a', 'b'], ...EVENT }
  const [first, second] = [
    await service.post(`${AT}/send-to-users`, body),
    await service.post(`${AT}/send-to-users`, body),
  ]
  const ids = [first.json.notification_id, second.json.notification_id]
  expect(ids[0]).not.toBe(ids[1])
  for (const client of [a, b]) expect((await client.inbox.take(2)).map(({ id }) => id)).toEqual(ids)
})

test('a user who is named three times gets and stores one notification', async () => {
  await using service = await startTestApp(LOG_ON)
  using a = await listen(service, 'a')
  const body = { target_user_ids: ['a', 'b', 'a', 'b', 'a'], ...EVENT }
  expect((await service.post(`${AT}/send-to-users`, body)).json).toEqual(result(1, 1, 'partial'))
  await a.next()
  await expectNothingOn(a)
  expect((await service.get('/health')).json.queue).toMatchObject({ total_messages: 2, users_with_queue: 2 })
})

test.each(['send-to-users', 'channels'])(
  'an empty list for /%s is accepted and reaches no client',
  async path => {
    await using service = await startTestApp(LOG_ON)
    using client = await listen(service, 'u', ['c'])
    const { status, json } = await service.post(`${AT}/${path}`, {
      target_user_ids: [],
      channels: [],
      ...EVENT,
    })
    expect([status, json]).toEqual([200, NOBODY])
    await expectNothingOn(client)
  },
)

test('/channels reaches each connection once, however many of the channels it subscribes to', async () => {
  await using service = await startTestApp()
  using both = await listen(service, 'u', ['c', 'd'])
  using one = await listen(service, 'u', ['d'])
  using none = await listen(service, 'u', ['x'])
  const { json } = await service.post(`${AT}/channels`, { channels: ['c', 'd', 'c', 'empty'], ...EVENT })
  expect(json).toMatchObject({ delivered_to: 2, status: 'delivered' })
  for (const client of [both, one]) {
    await client.nextOf('notification')
    await expectNothingOn(client)
  }
  await expectNothingOn(none)
})

test.each([
  ['log off', {}, 0],
  ['log on', LOG_ON, 1],
])('with the %s a send to an online and an offline user is partial', async (_, env, queued) => {
  await using service = await startTestApp(env)
  using present = await listen(service, 'here')
  const body = { target_user_ids: ['here', 'away'], ...EVENT }
  expect((await service.post(`${AT}/send-to-users`, body)).json).toEqual(result(1, queued, 'partial'))
  await present.next()
})

test('a notification that expires before dispatch is neither delivered nor stored', async () => {
  let [now, step] = [Date.now(), 0]
  const clock = {
    now: () => {
      now += step
      return now
    },
    monotonic: () => performance.now(),
  }
  await using service = await startTestApp(LOG_ON, { clock })
  using client = await listen(service, 'u', ['c'])
  step = 5_000
  for (const [path, target] of Object.entries(TO_U)) {
    const { json } = await service.post(AT + path, { ...target, ...EVENT, ttl: 2 })
    expect(json).toEqual(result(0, 0, 'expired'))
  }
  step = 0
  await expectNothingOn(client)
  expect((await service.get('/health')).json.queue.total_messages).toBe(0)
})

test.each(Object.keys(TO_U))('ttl 0 on %s reaches live clients without being stored', async path => {
  await using service = await startTestApp(LOG_ON)
  const body = { ...TO_U[path], ...EVENT, ttl: 0 }
  expect((await service.post(AT + path, body)).json).toEqual(NOBODY)
  using client = await listen(service, 'u', ['c'])
  expect((await service.post(AT + path, body)).json).toEqual(result(1, 0, 'delivered'))
  const message = await client.next()
  expect(message.metadata).toEqual({ source: 'http-api', priority: 'Normal', ttl: 0 })
  expect(message).not.toHaveProperty('cursor')
  expect((await service.get('/health')).json.queue.total_messages).toBe(0)
})

test('a user whose connection is replaying counts as queued and receives in order', async () => {
  const gate = Promise.withResolvers<void>()
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      read: async (...args) => {
        await gate.promise
        return store.log.read(...args)
      },
    },
  })
  await using service = await startTestApp(LOG_ON, { wrapStore })
  const send = (payload: number) =>
    service.post(`${AT}/send`, { target_user_id: 'u', event_type: 'e', payload })
  await send(1)
  using client = await listen(service, 'u')
  expect((await send(2)).json).toEqual(result(0, 1, 'queued'))
  gate.resolve()
  expect((await client.inbox.take(2)).map(({ payload }) => payload)).toEqual([1, 2])
})

test('a connection with a full send buffer counts as failed, and its user as queued', async () => {
  await using service = await startTestApp({ ...LOG_ON, SEND_BUFFER_BYTES: '65536' })
  using client = await connectRaw(service.port, `/ws?token=${await service.token('u')}`)
  client.stall()
  const body = { target_user_id: 'u', event_type: 'e', payload: 'x'.repeat(60_000) }
  let json = { delivered_to: 1 }
  for (let n = 0; n < 1_000 && json.delivered_to === 1; n++)
    json = (await service.post(`${AT}/send`, body)).json
  expect<object>(json).toEqual(result(0, 1, 'queued', 1))
})

type Case = readonly [name: string, audience: object | null | undefined, receivers: readonly string[]]
const EVERYBODY = ['socket-admin', 'socket-plain', 'stream-admin', 'stream-plain']
const AUDIENCES: readonly Case[] = [
  ['unset', undefined, EVERYBODY],
  ['null', null, EVERYBODY],
  ['all', { type: 'All' }, EVERYBODY],
  ['a role', { type: 'Roles', value: ['admin'] }, ['socket-admin', 'stream-admin']],
  ['any of several roles', { type: 'Roles', value: ['none', 'ops'] }, ['socket-plain', 'stream-admin']],
  ['a role in other case', { type: 'Roles', value: ['Admin'] }, []],
  ['no role', { type: 'Roles', value: [] }, []],
  [
    'users',
    { type: 'Users', value: ['socket-plain', 'stream-plain', 'x'] },
    ['socket-plain', 'stream-plain'],
  ],
  ['no user', { type: 'Users', value: [] }, []],
  ['channels', { type: 'Channels', value: ['d', 'e'] }, ['socket-admin', 'socket-plain']],
  ['one channel', { type: 'Channels', value: ['c'] }, ['socket-admin']],
  ['no channel', { type: 'Channels', value: [] }, []],
]

test('`audience` filters a broadcast, on WebSocket and SSE', async () => {
  await using service = await startTestApp()
  using socketAdmin = await listen(service, 'socket-admin', ['c', 'd'], { roles: ['admin'] })
  using socketPlain = await listen(service, 'socket-plain', ['e'], { roles: ['ops'] })
  using streamAdmin = await stream(service, 'stream-admin', { roles: ['x', 'admin', 'ops'] })
  using streamPlain = await stream(service, 'stream-plain')
  const counts: unknown[] = []
  for (const [name, audience] of AUDIENCES) {
    const { json } = await service.post(`${AT}/broadcast`, { event_type: name, payload: name, audience })
    counts.push([name, json.delivered_to, json.status])
  }
  await service.post(`${AT}/broadcast`, { event_type: 'end', payload: null })
  expect(counts).toEqual(
    AUDIENCES.map(([name, , to]) => [name, to.length, to.length > 0 ? 'delivered' : 'no_recipient']),
  )
  const heardBy = async (client: SocketClient | StreamClient) => {
    const messages: { event_type: string; metadata: object }[] = []
    do {
      const item = await client.next()
      messages.push('data' in item ? item.data : item)
    } while (messages.at(-1)?.event_type !== 'end')
    return messages.slice(0, -1).map(({ event_type, metadata }) => [event_type, metadata])
  }
  const meant = (receiver: string) =>
    AUDIENCES.filter(([, , receivers]) => receivers.includes(receiver)).map(([name, audience]) => [
      name,
      { source: 'http-api', priority: 'Normal', ...(audience && { audience }) },
    ])
  expect<object>({
    'socket-admin': await heardBy(socketAdmin),
    'socket-plain': await heardBy(socketPlain),
    'stream-admin': await heardBy(streamAdmin),
    'stream-plain': await heardBy(streamPlain),
  }).toEqual(Object.fromEntries(EVERYBODY.map(receiver => [receiver, meant(receiver)])))
})

test.each(Object.keys(TO_U))('%s frames all metadata in the documented order', async path => {
  await using service = await startTestApp()
  using client = await connectRaw(service.port, `/ws?token=${await service.token('u')}`)
  client.send(1, '{"type":"Subscribe","payload":{"channels":["c"]}}')
  await nextText(client)
  const audience = path === '/broadcast' ? { audience: { type: 'Users', value: ['u'] } } : {}
  const { json } = await service.post(AT + path, {
    correlation_id: 'é "\\',
    ttl: 4_294_967_295,
    priority: 'Critical',
    payload: [],
    event_type: 'e',
    ...audience,
    ...TO_U[path],
  })
  const text = await nextText(client)
  const shown = path === '/broadcast' ? '"audience":{"type":"Users","value":["u"]},' : ''
  expect(text).toBe(
    `{"type":"notification","id":"${json.notification_id}","occurred_at":"${JSON.parse(text).occurred_at}","event_type":"e","payload":[],"metadata":{"source":"http-api","priority":"Critical","ttl":4294967295,${shown}"correlation_id":"é \\"\\\\"}}`,
  )
})

test('every priority reaches clients, and null options count as absent', async () => {
  await using service = await startTestApp()
  using client = await listen(service, 'u')
  const OPTIONS = { ttl: null, correlation_id: null }
  const priorities = ['Low', 'Normal', 'High', 'Critical', null]
  for (const priority of priorities)
    await service.post(`${AT}/send`, { target_user_id: 'u', ...EVENT, ...OPTIONS, priority })
  expect((await client.inbox.take(5)).map(({ metadata }) => metadata)).toEqual(
    priorities.map(priority => ({ source: 'http-api', priority: priority ?? 'Normal' })),
  )
})

test.each([
  ['a user of any script', '/send', { target_user_id: 'ユーザー 😀' }, 'ユーザー 😀', []],
  ['a user with colons and quotes', '/send', { target_user_id: 'a:b:"c"/%2F' }, 'a:b:"c"/%2F', []],
  ['a user of 256 bytes', '/send', { target_user_id: 'é'.repeat(128) }, 'é'.repeat(128), []],
  ['a list of such users', '/send-to-users', { target_user_ids: ['Я', '我'] }, '我', []],
  ['a channel of any script', '/channel', { channel: '中文.頻道-1_٣Ⅷ' }, 'u', ['中文.頻道-1_٣Ⅷ']],
  ['a channel of 64 characters', '/channel', { channel: '𝒜'.repeat(64) }, 'u', ['𝒜'.repeat(64)]],
  ['a list of such channels', '/channels', { channels: ['x', 'ñ'] }, 'u', ['ñ']],
] as const)('a send reaches %s', async (_, path, target, user, channels) => {
  await using service = await startTestApp(LOG_ON)
  using client = await listen(service, user, channels)
  expect((await service.post(AT + path, { ...target, ...EVENT })).json).toMatchObject({ delivered_to: 1 })
  await client.nextOf('notification')
})

test.each([
  ['/send', { target_user_id: 'U' }],
  ['/send', { target_user_id: 'u ' }],
  ['/channel', { channel: 'C' }],
  ['/channel', { channel: 'cafe' }],
])('names on %s are compared exactly: %j', async (path, target) => {
  await using service = await startTestApp()
  using client = await listen(service, 'u', ['c', 'café'])
  expect((await service.post(AT + path, { ...target, ...EVENT })).json.status).toBe('no_recipient')
  await expectNothingOn(client)
})

test('a body of 65,536 bytes is accepted, and one of 65,537 is rejected', async () => {
  await using service = await startTestApp()
  using client = await listen(service, 'u')
  const body = (bytes: number) => {
    const empty = JSON.stringify({ target_user_id: 'u', event_type: 'e', payload: '' })
    return empty.replace('""', `"${'x'.repeat(bytes - empty.length)}"`)
  }
  const whole = await service.post(`${AT}/send`, body(65_536))
  expect(whole.json).toMatchObject({ delivered_to: 1, status: 'delivered' })
  expect((await client.nextOf('notification')).payload).toBe(JSON.parse(body(65_536)).payload)
  const over = await service.post(`${AT}/send`, body(65_537))
  expect([over.status, over.json.error.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  await expectNothingOn(client)
})

/** Compact JSON that parsing and printing would change, and the expected text. */
const PAYLOADS = [
  '1.10',
  '1e400',
  '-0',
  '-0.0E+00',
  '12345678901234567890',
  'null',
  'false',
  '""',
  '"\\u0041\\/\\u00e9\\n\\ud83d\\ude00"',
  '"\\ud800"',
  '"é😀\u2028\u2029\u0085\u007f"',
  '"{\\"payload\\":[}"',
  '[]',
  '{}',
  '{"b":1,"2":2,"1":3,"a":4}',
  '{"a":1,"a":2,"\\u0061":3}',
  '{"__proto__":{"constructor":1},"toString":null,"":0}',
  '{"payload":{"payload":1.0},"event_type":5,"ttl":1e3,"target_user_id":[]}',
  `${'['.repeat(63)}1.0${']'.repeat(63)}`,
]

test('a payload reaches WebSocket and SSE byte for byte', async () => {
  await using service = await startTestApp()
  const token = await service.token('u')
  using socket = await connectRaw(service.port, `/ws?token=${token}`)
  const events = await textOfStream(`${service.url}/sse?token=${token}`)
  const send = (text: string) =>
    service.post(`${AT}/send`, `{"payload":${text},"target_user_id":"u","event_type":"e"}`)
  for (const text of PAYLOADS) {
    expect([text, (await send(text)).json.delivered_to]).toEqual([text, 2])
    const between = [',"payload":', ',"metadata":'] as const
    const frame = await nextText(socket)
    expect(frame.slice(frame.indexOf(between[0]) + 11, frame.lastIndexOf(between[1]))).toBe(text)
    expect(await events.next()).toBe(`event: notification\ndata: ${frame}`)
  }
  await events.end()
})

test('a payload may lose white space between tokens, which never breaks an SSE line', async () => {
  await using service = await startTestApp()
  const events = await textOfStream(`${service.url}/sse?token=${await service.token('u')}`)
  const text = '{ "a" :\r\n\r\n[ 1.0 ,\n2 ]\r,\t"b c" : " d\\n " }'
  await service.post(`${AT}/send`, `\r\n{"target_user_id":"u",\n"event_type":"e","payload"\r:\n${text}\n}\n`)
  const [event = '', data = '', ...more] = (await events.next()).split(/\r\n|\r|\n/)
  expect([event, more]).toEqual(['event: notification', []])
  expect(JSON.parse(data.replace('data: ', '')).payload).toEqual(JSON.parse(text))
  expect(data).toContain('1.0')
  await events.end()
})

test('a known key may be written with escapes, and unknown keys are ignored whatever they hold', async () => {
  await using service = await startTestApp()
  using client = await connectRaw(service.port, `/ws?token=${await service.token('u')}`)
  const body = `{"x":{"payload":1,"x":1,"x":2},"x":[1e400],"\\u0070ayload":1.10,"__proto__":{"ttl":"no"},"constructor":0,"t\\u0061rget_user_id":"u","event_type":"e"}`
  expect((await service.post(`${AT}/send`, body)).json).toEqual(result(1, 0, 'delivered'))
  expect(await nextText(client)).toContain(
    ',"payload":1.10,"metadata":{"source":"http-api","priority":"Normal"}}',
  )
})
