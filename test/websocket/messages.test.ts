import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createTestClock } from '../support/clock.ts'
import { broadcast, eventually, publish, rawOf, send, settle, socketOf } from '../support/visit.ts'

const ID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
const TEXT = 1
const BINARY = 2
const CLOSE = 8
const CONTINUATION = 0

const subscribe = (channels: unknown) => ({ type: 'Subscribe', payload: { channels } })
const unsubscribe = (channels: unknown) => ({ type: 'Unsubscribe', payload: { channels } })
const ack = (payload: unknown) => ({ type: 'Ack', payload })
const error = (code: string) => ({ type: 'error', code, message: expect.any(String) })
const fault = (message: string) => ({ type: 'error', code: 'SUBSCRIPTION_ERROR', message })
const notification = (payload: unknown) => expect.objectContaining({ type: 'notification', payload })

/** The code of a close frame. */
const codeOf = (payload: Buffer | undefined) => payload?.readUInt16BE(0)

/** A Ping of exactly this many bytes. */
function pingOf(bytes: number, filler = 'a'): string {
  const bare = Buffer.byteLength('{"type":"Ping","x":""}')
  const times = Math.floor((bytes - bare) / Buffer.byteLength(filler))
  const rest = 'a'.repeat(bytes - bare - times * Buffer.byteLength(filler))
  return `{"type":"Ping","x":"${filler.repeat(times)}${rest}"}`
}

test('the server answers the documented conversation byte by byte, with acknowledgement off', async () => {
  await using app = await startTestApp({
    WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '2',
    WEBSOCKET_HEARTBEAT_INTERVAL: '1',
  })
  using client = await socketOf(app, 'u')
  const says = async (message: unknown, replies: unknown[]) => {
    client.send(message)
    expect(await settle(client)).toEqual(replies)
  }
  await says(subscribe(['a', 'b', 'a', 'c', 'x y']), [
    { type: 'subscribed', payload: ['a', 'b'] },
    fault(expect.stringMatching(/^c: .*limit.*; x y: .*invalid name/) as unknown as string),
  ])
  await says(subscribe(['a']), [{ type: 'subscribed', payload: ['a'] }])
  await says(subscribe([]), [])
  await says(unsubscribe(['a', 'never']), [{ type: 'unsubscribed', payload: ['a', 'never'] }])
  client.send({ type: 'Ping' })
  expect(await client.next()).toEqual({ type: 'pong' })
  await says({ type: 'subscribe', payload: { channels: ['a'] } }, [error('INVALID_MESSAGE')])
  client.sendRaw(new Uint8Array([1, 2, 3]))
  expect(await settle(client)).toEqual([error('UNSUPPORTED_FORMAT')])
  await send(app, 'u', 1)
  const [received] = await settle(client)
  expect(received).toEqual(notification(1))
  await says(ack({ notification_id: received.id }), [])
  await says(ack({ notification_id: received.id }), [])
  await says(ack({ notification_id: '11111111-1111-4111-8111-111111111111' }), [])
  expect(await client.nextOf('heartbeat')).toEqual({ type: 'heartbeat' })
})

test('a Ping may have a null payload, extra keys and any key order', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const pings = [
    '{"type":"Ping"}',
    '{"type":"Ping","payload":null}',
    '{"payload":null,"type":"Ping"}',
    ' \n{ "type" : "Ping" , "payload" : null , "id" : 7 }\t',
    '{"type":"Ping","extra":{"type":"Nope"}}',
    '{"\\u0074ype":"Pi\\u006eg"}',
  ]
  for (const ping of pings) client.sendRaw(ping)
  expect(await client.take(pings.length)).toEqual(pings.map(() => ({ type: 'pong' })))
})

test('Subscribe and Unsubscribe may have extra keys and any key order', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  client.sendRaw('{"payload":{"x":1,"channels":["a"],"y":[]},"type":"Subscribe","z":null}')
  client.sendRaw('{"z":{},"payload":{"channels":["a"],"y":{}},"type":"Unsubscribe"}')
  expect(await settle(client)).toEqual([
    { type: 'subscribed', payload: ['a'] },
    { type: 'unsubscribed', payload: ['a'] },
  ])
})

test('with acknowledgement off the server does not answer a well-formed Ack', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const compact = ID.replaceAll('-', '')
  const ids = [ID, compact, `{${ID}}`, `urn:uuid:${ID}`, ID.toUpperCase(), compact.toUpperCase()]
  for (const id of ids) client.send(ack({ notification_id: id }))
  client.send(ack({ cursor: 'e:7' }))
  client.send(ack({ cursor: 'e:7', notification_id: null }))
  client.send(ack({ cursor: 5, notification_id: ID }))
  client.send(ack({ cursor: 'e:7', notification_id: ID, extra: 1 }))
  expect(await settle(client)).toEqual([])
})

const CHANNEL_LISTS: unknown[] = [
  undefined,
  null,
  [],
  'a',
  5,
  true,
  {},
  { channels: null },
  { channels: 'a' },
  { channels: 5 },
  { channels: {} },
  { channels: { 0: 'a' } },
  { channels: [1] },
  { channels: [null] },
  { channels: [['a']] },
  { channels: [{ name: 'a' }] },
  { channels: ['a', 1] },
  { channels: ['a', null] },
  { channels: [true] },
  { Channels: ['a'] },
  { channel: ['a'] },
  ['a'],
]
const json = (values: unknown[], type: string) => values.map(payload => JSON.stringify({ type, payload }))

const MALFORMED: Record<string, string[]> = {
  Subscribe: [
    ...json(CHANNEL_LISTS, 'Subscribe'),
    ...['subscribe', 'SUBSCRIBE', 'Subscribe ', ' Subscribe', 'Subscribed'].map(type =>
      JSON.stringify({ type, payload: { channels: ['a'] } }),
    ),
    '{"type":"Subscribe","channels":["a"]}',
    '{"type":["Subscribe"],"payload":{"channels":["a"]}}',
    '{"Type":"Subscribe","payload":{"channels":["a"]}}',
    '[{"type":"Subscribe","payload":{"channels":["a"]}}]',
  ],
  Unsubscribe: [
    ...json(CHANNEL_LISTS, 'Unsubscribe'),
    ...['unsubscribe', 'UNSUBSCRIBE', 'UnSubscribe', 'Unsubscribed'].map(type =>
      JSON.stringify({ type, payload: { channels: ['a'] } }),
    ),
    '{"type":"Unsubscribe","channels":["a"]}',
  ],
  Ping: [
    ...json([{}, [], '', 0, 1, true, false, 'x', { a: 1 }, [null], 1.5], 'Ping'),
    '{"type":"ping"}',
    '{"type":"PING"}',
    '{"type":"Pong"}',
    '{"type":"pong"}',
    '{"type":"Ping\\u0000"}',
    '{"Type":"Ping"}',
    '{"type":{"Ping":1}}',
    '"Ping"',
  ],
  Ack: [
    ...json([undefined, null, {}, [], ID, 5, [ID], { id: ID }], 'Ack'),
    ...[null, 5, true, [], [ID], {}, '', ' ', 'e:7'].map(id => JSON.stringify(ack({ notification_id: id }))),
    ...[
      ID.slice(1),
      `${ID}0`,
      ID.replace('3', 'g'),
      ` ${ID}`,
      `${ID}\n`,
      `{${ID}`,
      `${ID}}`,
      `(${ID})`,
      `urn:uuid${ID}`,
      `urn:oid:${ID}`,
      ID.replaceAll('-', ':'),
    ].map(id => JSON.stringify(ack({ notification_id: id }))),
    ...[null, 5, true, [], {}].map(cursor => JSON.stringify(ack({ cursor }))),
    JSON.stringify(ack({ notification_id: 'x', cursor: 'e:7' })),
    JSON.stringify(ack({ notification_id: 5, cursor: 'e:7' })),
    JSON.stringify({ type: 'ack', payload: { notification_id: ID } }),
    JSON.stringify({ type: 'Ack', notification_id: ID }),
  ],
  'no JSON object of a known type': [
    '',
    ' ',
    '{',
    '}',
    'null',
    'true',
    '5',
    '"Ping"',
    '[]',
    '{}',
    'Ping',
    'ping',
    '{"type":"Ping"',
    '{"type":"Ping"} x',
    '{"type":"Ping"}{"type":"Ping"}',
    '{"type":"Ping",}',
    "{'type':'Ping'}",
    '{type:"Ping"}',
    '{"type":"Ping","payload":NaN}',
    '{"type":"Ping","payload":undefined}',
    '{"type":"Ping"}//',
    '\ufeff{"type":"Ping"}',
    '{"type":null}',
    '{"type":5}',
    '{"type":""}',
    '{"type":"Nope"}',
    '{"type":"heartbeat"}',
    '{"type":"notification","payload":{}}',
    '{"type":"__proto__"}',
    '{"type":"constructor"}',
    '{"__proto__":{"type":"Ping"}}',
    '['.repeat(60_000),
    '{"type":'.repeat(8_000),
    '{"type":"Ping","x":"\n"}',
    '{"type":"Ping","x":"\\ud8"}',
  ],
}

for (const [kind, texts] of Object.entries(MALFORMED)) {
  test(`${texts.length} malformed messages (${kind}) are answered INVALID_MESSAGE and the connection stays open`, async () => {
    await using app = await startTestApp()
    using client = await socketOf(app, 'u')
    expect(texts.length).toBeWithin(10, 100)
    for (const text of texts) {
      client.sendRaw(text)
      expect([text, await settle(client)]).toEqual([text, [error('INVALID_MESSAGE')]])
    }
    expect((await app.get('/health')).json.connections).toEqual({
      total: 1,
      unique_users: 1,
      channels_count: 0,
    })
  })
}

test('INVALID_MESSAGE names the cause and the place, and repeats nothing of the message', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const names = Array.from({ length: 1_001 }, (_, n) => `c${n}`)
  for (const [text, message] of [
    ['{', 'the message must be a JSON object (got text that is not JSON)'],
    ['5', 'the message must be a JSON object (got another JSON value)'],
    ['[]', 'the message must be a JSON object (got another JSON value)'],
    ['{}', 'type: required'],
    ['{"type":"Shout"}', 'type: expected one of Subscribe, Unsubscribe, Ping, Auth, Ack'],
    ['{"type":5}', 'type: expected one of Subscribe, Unsubscribe, Ping, Auth, Ack (got a number)'],
    ['{"type":"Subscribe"}', 'payload: required'],
    ['{"type":"Subscribe","payload":["a"]}', 'payload.channels: required'],
    ['{"type":"Subscribe","payload":{"channels":"a"}}', 'payload.channels: expected a list (got a string)'],
    [
      '{"type":"Subscribe","payload":{"channels":[5]}}',
      'payload.channels[0]: expected a string (got a number)',
    ],
    [
      JSON.stringify({ type: 'Subscribe', payload: { channels: names } }),
      'payload.channels: expected at most 1,000 channels in one message',
    ],
    [
      JSON.stringify({ type: 'Unsubscribe', payload: { channels: names } }),
      'payload.channels: expected at most 1,000 channels in one message',
    ],
    ['{"type":"Ping","payload":{}}', 'payload: expected no payload (got an object)'],
    ['{"type":"Auth","payload":{"token":5}}', 'payload.token: expected a string (got a number)'],
    [
      '{"type":"Ack","payload":{}}',
      'payload: expected a notification_id that is a UUID, or a cursor that is a string (got an object)',
    ],
    [
      '{"type":"Ack","payload":{"notification_id":"x"}}',
      'payload: expected a notification_id that is a UUID, or a cursor that is a string (got an object)',
    ],
  ] as const) {
    client.sendRaw(text)
    expect([text, await settle(client)]).toEqual([
      text,
      [{ type: 'error', code: 'INVALID_MESSAGE', message }],
    ])
  }
})

// `urn:uuid:` fits the hyphenated form only. Hyphens stand at all four places or at none.
test('an Ack whose id is a UUID in none of the four forms is malformed', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const texts = [
    `urn:uuid:{${ID}`,
    `urn:uuid:{${ID}}`,
    ID.replace('-', ''),
    '3f2504e04f8941d3-9a0c0305e82c3301',
    `{urn:uuid:${ID}}`,
  ]
  for (const id of texts) client.send(ack({ notification_id: id }))
  expect(await settle(client)).toEqual(texts.map(() => error('INVALID_MESSAGE')))
})

test('binary frames of any content are answered UNSUPPORTED_FORMAT and the connection stays open', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const contents = [[], [0], [0xff, 0xfe], [...Buffer.from('{"type":"Ping"}')], Array(65_536).fill(7)]
  for (const content of contents) client.sendRaw(new Uint8Array(content))
  expect(await settle(client)).toEqual(contents.map(() => error('UNSUPPORTED_FORMAT')))
})

test('messages before `connected` wait for it and are then handled in order', async () => {
  const gate = Promise.withResolvers<void>()
  await using app = await startTestApp(
    { QUEUE_ENABLED: 'true' },
    {
      wrapStore: store => ({
        ...store,
        log: {
          ...store.log,
          open: async owner => {
            await gate.promise
            return store.log.open(owner)
          },
        },
      }),
    },
  )
  using client = await rawOf(app, 'u', { cursor: '' })
  client.send(TEXT, JSON.stringify(subscribe(['a'])))
  client.send(BINARY, '{}')
  client.send(TEXT, 'nonsense')
  client.send(TEXT, '{"type":"Ping"}')
  // The pong frame shows that the server has read all messages before.
  client.send(9, 'read')
  await client.frames.until(({ opcode }) => opcode === 10)
  expect(client.messages).toEqual([])
  gate.resolve()
  expect(await client.next()).toMatchObject({ type: 'connected' })
  expect(await client.next()).toEqual({ type: 'subscribed', payload: ['a'] })
  expect(await client.next()).toEqual(error('UNSUPPORTED_FORMAT'))
  expect(await client.next()).toEqual(error('INVALID_MESSAGE'))
  expect(await client.next()).toEqual({ type: 'pong' })
})

for (const [kind, opcode, text] of [
  ['empty', TEXT, ''],
  ['binary', BINARY, ''],
  ['large', TEXT, pingOf(10_000)],
] as const) {
  test(`messages before \`connected\` are bounded: too many ${kind} messages close with 1008`, async () => {
    const never = new Promise<never>(() => {})
    await using app = await startTestApp(
      { QUEUE_ENABLED: 'true', SEND_BUFFER_BYTES: '65536' },
      { wrapStore: store => ({ ...store, log: { ...store.log, open: () => never } }) },
    )
    using client = await rawOf(app, 'u', { cursor: '' })
    for (let n = 0; n < 2_000; n++) client.send(opcode, text)
    const { payload } = await client.frames.until(frame => frame.opcode === CLOSE)
    expect(codeOf(payload)).toBe(1008)
    expect(client.messages).toEqual([])
  })
}

test('100 bad messages within a minute close the connection with 1008', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  for (let n = 0; n < 50; n++) {
    client.sendRaw('bad')
    client.sendRaw(new Uint8Array([n]))
    if (n === 48) expect(await settle(client)).toHaveLength(98)
  }
  client.send({ type: 'Ping' })
  expect(await client.take(2)).toEqual([error('INVALID_MESSAGE'), error('UNSUPPORTED_FORMAT')])
  expect(await client.closed).toMatchObject({ code: 1008 })
  expect(client.inbox.all).toHaveLength(98 + 1 + 2)
})

test('well-formed messages that are refused do not count as bad', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  for (let n = 0; n < 150; n++) client.send(subscribe([`no channel ${n}`]))
  expect(await settle(client)).toHaveLength(150)
})

test('bad messages count for a minute: 100 within 60 seconds close the connection, fewer never do', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({}, { clock })
  using client = await socketOf(app, 'u')
  const misbehave = async (times: number) => {
    for (let n = 0; n < times; n++) client.sendRaw('bad')
    expect(await settle(client)).toHaveLength(times)
  }
  await misbehave(99)
  clock.jump(60.5)
  await misbehave(50)
  clock.jump(40)
  await misbehave(49)
  clock.jump(30)
  await misbehave(50)
  client.sendRaw('bad')
  expect(await client.closed).toMatchObject({ code: 1008 })
})

test('a message may have 65,536 bytes of UTF-8; one byte more closes with 1009', async () => {
  await using app = await startTestApp()
  for (const filler of ['a', 'é', '日', '🎉']) {
    using client = await socketOf(app, 'u')
    client.sendRaw(pingOf(65_536, filler))
    expect(await client.next()).toEqual({ type: 'pong' })
    client.sendRaw(pingOf(65_537, filler))
    expect(await client.closed).toMatchObject({ code: 1009 })
    expect(client.inbox.all.filter(({ type }) => type !== 'heartbeat')).toEqual([{ type: 'pong' }])
  }
  using binary = await socketOf(app, 'u')
  binary.sendRaw(new Uint8Array(65_537))
  expect(await binary.closed).toMatchObject({ code: 1009 })
})

test('fragments form one message: 65,536 bytes are answered, 65,537 close with 1009', async () => {
  await using app = await startTestApp()
  for (const [bytes, code] of [
    [65_536, undefined],
    [65_537, 1009],
  ] as const) {
    using client = await rawOf(app, 'u')
    const text = Buffer.from(pingOf(bytes))
    client.send(TEXT, text.subarray(0, 30_000), false)
    client.send(CONTINUATION, text.subarray(30_000, 60_000), false)
    client.send(CONTINUATION, text.subarray(60_000))
    if (code === undefined) expect(await client.next()).toEqual({ type: 'pong' })
    else {
      const { payload } = await client.frames.until(({ opcode }) => opcode === CLOSE)
      expect(codeOf(payload)).toBe(code)
      await client.closed
    }
  }
})

test('text that is not UTF-8 closes with 1007', async () => {
  await using app = await startTestApp()
  const texts = {
    'a lone continuation byte': [0x22, 0x80, 0x22],
    'an overlong form': [0x22, 0xc0, 0xaf, 0x22],
    'a surrogate': [0x22, 0xed, 0xa0, 0x80, 0x22],
    'beyond U+10FFFF': [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22],
    'cut off': [0x22, 0xe6, 0x97],
    'inside a long message': [...Buffer.from(pingOf(60_000).slice(0, -2)), 0xff, 0x22, 0x7d],
  }
  for (const [what, bytes] of Object.entries(texts)) {
    using client = await rawOf(app, 'u')
    client.send(TEXT, Uint8Array.from(bytes))
    const { payload } = await client.frames.until(({ opcode }) => opcode === CLOSE)
    expect([what, codeOf(payload)]).toEqual([what, 1007])
    await client.closed
  }
})

test('a character may be split between fragments', async () => {
  await using app = await startTestApp()
  using client = await rawOf(app, 'u')
  const text = Buffer.from(JSON.stringify(subscribe(['日本'])))
  const inside = text.indexOf('日') + 1
  client.send(TEXT, text.subarray(0, inside), false)
  client.send(CONTINUATION, text.subarray(inside))
  expect(await client.next()).toEqual({ type: 'subscribed', payload: ['日本'] })
})

test('a protocol error closes with 1002', async () => {
  await using app = await startTestApp()
  const faults = {
    'no mask': [0x81, 0x01, 0x41],
    'a reserved bit': [0xc1, 0x80, 1, 2, 3, 4],
    'an unknown opcode': [0x83, 0x80, 1, 2, 3, 4],
    'a continuation of nothing': [0x80, 0x80, 1, 2, 3, 4],
    'a control frame in fragments': [0x09, 0x80, 1, 2, 3, 4],
    'a control frame that is too long': [0x89, 0xfe, 0, 126, 1, 2, 3, 4],
    'a message within another': [0x01, 0x80, 1, 2, 3, 4, 0x81, 0x80, 1, 2, 3, 4],
    'another reserved bit': [0xa1, 0x80, 1, 2, 3, 4],
    'half a close code': [0x88, 0x81, 1, 2, 3, 4, 5],
    'a close code that is none': [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed],
  }
  for (const [what, bytes] of Object.entries(faults)) {
    using client = await rawOf(app, 'u')
    client.write(Uint8Array.from(bytes))
    const { payload } = await client.frames.until(({ opcode }) => opcode === CLOSE)
    expect([what, codeOf(payload)]).toEqual([what, 1002])
    await client.closed
  }
  await eventually(() => app.app.stats.closes[1002] === Object.keys(faults).length)
})

test('Subscribing again at the limit to a channel already held succeeds; new names are accepted in request order while they fit.', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '3' })
  using client = await socketOf(app, 'u')
  const says = async (message: unknown, replies: unknown[]) => {
    client.send(message)
    expect(await settle(client)).toEqual(replies)
  }
  const limit = (...names: string[]) =>
    fault(names.map(name => `${name}: limit of 3 subscriptions reached`).join('; '))
  await says(subscribe(['a', 'b', 'a', 'c', 'b', 'd']), [
    { type: 'subscribed', payload: ['a', 'b', 'c'] },
    limit('d'),
  ])
  await says(subscribe(['d', 'c', 'e', 'a', 'd']), [
    { type: 'subscribed', payload: ['c', 'a'] },
    limit('d', 'e'),
  ])
  await says(subscribe(['d', 'd']), [limit('d')])
  await says(unsubscribe(['b', 'b']), [{ type: 'unsubscribed', payload: ['b', 'b'] }])
  await says(subscribe(['a', 'd', 'b']), [{ type: 'subscribed', payload: ['a', 'd'] }, limit('b')])
  expect((await app.get('/health')).json.connections.channels_count).toBe(3)
})

test('the limit applies per connection, invalid names do not count, and 0 means no limit', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '1' })
  using first = await socketOf(app, 'u')
  using second = await socketOf(app, 'u')
  first.send(subscribe(['', 'a']))
  second.send(subscribe(['b']))
  expect(await first.take(2)).toEqual([{ type: 'subscribed', payload: ['a'] }, fault(': invalid name')])
  expect(await second.next()).toEqual({ type: 'subscribed', payload: ['b'] })

  await using free = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  using client = await socketOf(free, 'u')
  const names = Array.from({ length: 1_000 }, (_, n) => `channel-${n}`)
  client.send(subscribe(names))
  expect(await client.next()).toEqual({ type: 'subscribed', payload: names })
})

test('a connection may subscribe to 50 channels by default', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  const names = Array.from({ length: 51 }, (_, n) => `c${n}`)
  client.send(subscribe(names))
  expect(await client.take(2)).toEqual([
    { type: 'subscribed', payload: names.slice(0, 50) },
    error('SUBSCRIPTION_ERROR'),
  ])
})

test('channel names are letters and digits of any script, case-sensitive and not normalised', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  using client = await socketOf(app, 'u')
  const names = [
    'a',
    'A',
    '0',
    '_',
    'a.',
    '-',
    '...',
    'Straße',
    'заказы',
    '注文',
    'طلبات',
    'क',
    'Ⅷ',
    '½',
    '٣',
    '𝒜𝒷',
    '__proto__',
    'constructor',
    'caf\u00e9',
    'a'.repeat(64),
    '𝒜'.repeat(64),
    '日'.repeat(64),
  ]
  client.send(subscribe(names))
  expect(await client.next()).toEqual({ type: 'subscribed', payload: names })
  for (const name of names) {
    expect((await publish(app, name, name)).delivered_to).toBe(1)
    expect(await client.next()).toEqual(notification(name))
  }
  expect((await publish(app, 'STRASSE', 0)).delivered_to).toBe(0)
})

test('one error names every refused channel name', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  using client = await socketOf(app, 'u')
  const names = [
    '',
    ' ',
    'x y',
    'a:b',
    'a/b',
    'a*',
    '*',
    'a#',
    '.',
    '..',
    '🎉',
    'cafe\u0301',
    'a\n',
    'a\u0000',
    'a\u200b',
    '\ud800',
    'a'.repeat(65),
    '𝒜'.repeat(65),
  ]
  client.send(subscribe([...names, ...names]))
  expect(await settle(client)).toEqual([fault(names.map(name => `${name}: invalid name`).join('; '))])
  expect((await app.get('/health')).json.connections.channels_count).toBe(0)
})

test('a token with the claim `channels` subscribes only to channels that match its patterns', async () => {
  await using app = await startTestApp()
  const cases: [readonly string[] | undefined, readonly string[], readonly string[]][] = [
    [
      ['orders', 'team.*'],
      ['orders', 'team.', 'team.a', 'team.a.b'],
      ['orders2', 'order', 'team', 'Team.a', 'Orders'],
    ],
    [['*'], ['a', '注文'], []],
    [[], [], ['a']],
    [['a*b'], [], ['a', 'ab', 'axb']],
    [['a', 'a'], ['a'], ['b']],
    [['日*'], ['日', '日本'], ['本']],
    [['**'], [], ['a']],
    [undefined, ['a', 'team.a'], []],
  ]
  for (const [channels, allowed, denied] of cases) {
    using client = await socketOf(app, 'u', { claims: { channels } })
    client.send(subscribe([...denied, ...allowed]))
    const replies = [
      { type: 'subscribed', payload: allowed },
      fault(denied.map(name => `${name}: not allowed`).join('; ')),
    ].filter((_, n) => (n === 0 ? allowed : denied).length > 0)
    expect(await settle(client)).toEqual(replies)
  }
})

test('with CHANNEL_ACCESS=claims a token without the claim cannot subscribe', async () => {
  await using app = await startTestApp({ CHANNEL_ACCESS: 'claims' })
  using none = await socketOf(app, 'u')
  none.send(subscribe(['a', 'x y']))
  expect(await none.next()).toEqual(fault('a: not allowed; x y: invalid name'))
  using some = await socketOf(app, 'u', { claims: { channels: ['a'] } })
  some.send(subscribe(['a', 'b']))
  expect(await some.take(2)).toEqual([{ type: 'subscribed', payload: ['a'] }, fault('b: not allowed')])
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 1 })
})

test('Unsubscribe answers all names as given, even repeated, invalid and never subscribed ones', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  client.send(subscribe(['a', 'b']))
  await client.next()
  const names = ['a', 'a', 'never', '', 'x y', 'a:b', '🎉', 'a'.repeat(500), 'A']
  client.send(unsubscribe(names))
  expect(await client.next()).toEqual({ type: 'unsubscribed', payload: names })
  client.send(unsubscribe([]))
  expect(await settle(client)).toEqual([])
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 0, status: 'no_recipient' })
  expect(await publish(app, 'b', 2)).toMatchObject({ delivered_to: 1, status: 'delivered' })
  expect(await settle(client)).toEqual([notification(2)])
})

test('names of internal topics are no channels: clients cannot leave or join them', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'u')
  client.send(unsubscribe(['default', 'u', 'user:default:u', 'tenant:default']))
  client.send(subscribe(['user:default:v', 'default']))
  expect(await settle(client)).toEqual([
    { type: 'unsubscribed', payload: ['default', 'u', 'user:default:u', 'tenant:default'] },
    { type: 'subscribed', payload: ['default'] },
    fault('user:default:v: invalid name'),
  ])
  await send(app, 'v', 0)
  await send(app, 'u', 1)
  await broadcast(app, 2)
  expect(await settle(client)).toEqual([notification(1), notification(2)])
})

for (const coalesce of ['0', '20']) {
  test(`after \`unsubscribed\` the client receives no more from the channel (COALESCE_MS=${coalesce})`, async () => {
    await using app = await startTestApp({ COALESCE_MS: coalesce })
    using client = await socketOf(app, 'u')
    client.send(subscribe(['a', 'b', 'c']))
    await client.next()
    for (let n = 0; n < 20; n++) {
      const sent = awaitedLater(
        ['/channel', '/channels', '/broadcast'].map(path =>
          app.post(`/api/v1/notifications${path}`, {
            event_type: 'e',
            payload: n,
            channel: 'a',
            channels: ['a', 'b'],
            audience: { type: 'Channels', value: ['a', 'b'] },
          }),
        ),
      )
      client.send(unsubscribe(['a', 'b']))
      await client.nextOf('unsubscribed')
      await Promise.all(sent)
      expect(await settle(client)).toEqual([])
      client.send(subscribe(['a', 'b']))
      await client.nextOf('subscribed')
    }
    client.send(unsubscribe(['a', 'b']))
    await client.nextOf('unsubscribed')
    await app.post('/api/v1/notifications/channels', {
      event_type: 'e',
      payload: 'c',
      channels: ['a', 'b', 'c'],
    })
    expect(await settle(client)).toEqual([notification('c')])
  }, 20_000)
}

test('messages sent in one packet are handled and answered in order', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
  using client = await socketOf(app, 'u')
  const expected: unknown[] = []
  for (let n = 0; n < 500; n++) {
    client.send(subscribe([`c${n}`]))
    client.send({ type: 'Ping' })
    client.send(unsubscribe([`c${n}`]))
    expected.push(
      { type: 'subscribed', payload: [`c${n}`] },
      { type: 'pong' },
      { type: 'unsubscribed', payload: [`c${n}`] },
    )
  }
  expect(await client.take(expected.length)).toEqual(expected)
})
