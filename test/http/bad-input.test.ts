import { expect, test } from 'bun:test'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket, connectStream } from '../support/client.ts'

const AT = '/api/v1/notifications'

/** A body that must be rejected; `path` is the one that `details` must contain. */
interface Bad {
  readonly name: string
  readonly body: string | Uint8Array
  readonly status: number
  readonly code: string
  readonly path?: string
}

/** JSON texts by key: a value can be any text. */
type Texts = Readonly<Record<string, string>>

/** A valid body per endpoint; the listeners would receive each of them. */
const GOOD: Readonly<Record<string, Texts>> = {
  '/send': { target_user_id: '"u"' },
  '/send-to-users': { target_user_ids: '["u"]' },
  '/broadcast': { audience: '{"type":"All"}' },
  '/channel': { channel: '"c"' },
  '/channels': { channels: '["c"]' },
}
const CONTENT: Texts = {
  event_type: '"e"',
  payload: '{"a":[1]}',
  priority: '"High"',
  ttl: '60',
  correlation_id: '"x"',
}

const objectOf = (texts: Texts) =>
  `{${Object.entries(texts)
    .map(([key, text]) => `"${key}":${text}`)
    .join(',')}}`
const without = (texts: Texts, key: string): Texts =>
  Object.fromEntries(Object.entries(texts).filter(([each]) => each !== key))
const quoted = (length: number) => `"${'x'.repeat(length)}"`
const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const listOf = (count: number, item: string) => `[${Array.from({ length: count }, () => item).join(',')}]`

const NO_STRING = ['null', '5', 'true', '[]', '{}', '["u"]', '1e400']
const CONTROLS = ['"\\u0000"', '"a\\nb"', '"\\u007f"', '"\\u0085"', '"\\u009F"']
const NO_LIST = ['null', '5', 'true', '"u"', '{}', '{"0":"u","length":1}']
const BAD_USERS = ['""', ...CONTROLS, quoted(257), `"${'é'.repeat(129)}"`]
const BAD_CHANNELS = [
  ...['""', '" c"', '"c "', '"a b"', '"a:b"', '"a/b"', '"a*"', '"e\\u0301"', '"\\ud800"', '"😀"', '"a,b"'],
  ...[...CONTROLS, quoted(65), `"${'𝒜'.repeat(65)}"`],
]
const inLists = (items: readonly string[]) => items.map(item => `["ok",${item}]`)

/** Values of an invalid shape by key: 422 with the path of the key. */
const SHAPES: Readonly<Record<string, readonly string[]>> = {
  event_type: [...NO_STRING, '""', ...CONTROLS, quoted(129), `"${'😀'.repeat(129)}"`],
  priority: ['"low"', '"HIGH"', '"Urgent"', '""', '" Low"', '5', 'false', '[]', '["Low"]', '{}'],
  ttl: [
    ...['-1', '5.5', '5.0', '1e3', '1E3', '0.0', '5e0', '-0.0', '4294967296', '1e400', '-1e400'],
    ...['18446744073709551616', '"5"', '""', 'true', '[]', '[5]', '{}', nested(60)],
  ],
  correlation_id: ['5', 'true', '[]', '{}', ...CONTROLS, quoted(257), `"${'😀'.repeat(257)}"`],
  target_user_id: [...NO_STRING, ...BAD_USERS],
  target_user_ids: NO_LIST,
  channel: [...NO_STRING, ...BAD_CHANNELS],
  channels: NO_LIST,
  audience: ['5', '"All"', 'true'],
}

/** Invalid values inside the value of a key: 422 with their path. */
const INSIDE: Readonly<Record<string, readonly (readonly [path: string, text: string])[]>> = {
  target_user_ids: inLists([...NO_STRING, ...BAD_USERS]).map(text => ['target_user_ids[1]', text]),
  channels: inLists([...NO_STRING, ...BAD_CHANNELS]).map(text => ['channels[1]', text]),
  audience: [
    ...['{}', '[]', '["All"]', '{"type":null}', '{"type":"all"}', '{"type":"Role"}', '{"type":["All"]}'].map(
      text => ['audience.type', text] as const,
    ),
    ...['', ',"value":null', ',"value":"u"', ',"value":5', ',"value":{}'].flatMap(rest =>
      ['Roles', 'Users', 'Channels'].map(type => ['audience.value', `{"type":"${type}"${rest}}`] as const),
    ),
    ...NO_STRING.map(item => ['audience.value[1]', `{"type":"Users","value":["u",${item}]}`] as const),
    ['audience.type', '{"type":"All","type":"All"}'],
    ['audience.value', '{"type":"Roles","value":[],"v\\u0061lue":[]}'],
  ],
}

/** Well-formed lists that are too long: 400. */
const TOO_LONG: Readonly<Record<string, readonly (readonly [path: string, text: string])[]>> = {
  target_user_ids: [['target_user_ids', listOf(10_001, '"u"')]],
  channels: [['channels', listOf(101, '"c"')]],
  audience: [
    ['audience.value', `{"type":"Roles","value":${listOf(101, '"r"')}}`],
    ['audience.value', `{"type":"Users","value":${listOf(10_001, '"u"')}}`],
    ['audience.value', `{"value":${listOf(101, '"c"')},"type":"Channels"}`],
  ],
}

/** Turns a valid body into invalid JSON. */
const BROKEN: Readonly<Record<string, (good: string) => string | Uint8Array>> = {
  empty: () => '',
  'only white space': () => ' \r\n\t',
  'byte order mark': good => `\ufeff${good}`,
  'byte order mark alone': () => '\ufeff',
  'UTF-16': good => Buffer.from(good, 'utf16le'),
  'Latin-1': good => Buffer.from(good.replace('"x"', '"é"'), 'latin1'),
  'a surrogate in UTF-8': good => Buffer.from(good.replace('"x"', '"\u00ed\u00a0\u0080"'), 'latin1'),
  'overlong UTF-8': good => Buffer.from(good.replace('"x"', '"\u00c0\u00af"'), 'latin1'),
  'a NUL at the end': good => `${good}\0`,
  'no-break space around it': good => `\u00a0${good}`,
  cut: good => good.slice(0, -1),
  'a brace too many': good => `${good}}`,
  'two documents': good => `${good}${good}`,
  'text after it': good => `${good} x`,
  'a comma after it': good => `${good},`,
  'trailing comma': good => good.replace(/}$/, ',}'),
  'leading comma': good => good.replace('{', '{,'),
  'comma in a list': good => good.replace('[1]', '[1,]'),
  'no colon': good => good.replace(':', ' '),
  'no comma': good => good.replace(',', ' '),
  'single quotes': good => good.replaceAll('"', "'"),
  'unquoted key': good => good.replace('"event_type"', 'event_type'),
  'a lone quote': () => '"',
  'a lone brace': () => '{',
  'a quote too many': good => good.replace('"x"', '"x""'),
  'an open string': good => good.replace('"x"', '"x'),
  'a comment': good => `${good}// x`,
  'a comment inside': good => good.replace('{', '{/**/'),
  'line break in a string': good => good.replace('"x"', '"x\n"'),
  'tab in a string': good => good.replace('"x"', '"x\t"'),
  'bad escape': good => good.replace('"x"', '"\\x41"'),
  'short escape': good => good.replace('"x"', '"\\u004"'),
  ...Object.fromEntries(
    [
      'undefined',
      'NaN',
      'Infinity',
      '-Infinity',
      '01',
      '-01',
      '+1',
      '.5',
      '5.',
      '-',
      '1e',
      '0x1',
      '1n',
      '1_0',
    ]
      .concat(['True', 'nul', '', '[1 2]', '{"a"}', '{1:1}', '{"a":1,}', ']', '}', '"\\'])
      .map(text => [`payload ${text}`, (good: string) => good.replace('{"a":[1]}', text)]),
  ),
  '65 levels': good => good.replace('{"a":[1]}', nested(64)),
  '65 levels under a known key': good => good.replace('60', nested(64)),
  '65 levels under an unknown key': good => good.replace('{', `{"x":${nested(64)},`),
  '60,000 levels': good => good.replace('{"a":[1]}', nested(30_000)),
  '60,000 open brackets': () => '['.repeat(60_000),
  '10,000 open objects': () => '{"a":'.repeat(10_000),
}

/** JSON without the required object or keys. */
const NOT_THE_OBJECT: Readonly<Record<string, (good: string) => string>> = {
  null: () => 'null',
  true: () => 'true',
  number: () => '5',
  'huge number': () => '1e400',
  string: () => '"x"',
  'empty object': () => '{}',
  'empty array': () => '[]',
  'the object in an array': good => `[${good}]`,
  'the object as a string': good => JSON.stringify(good),
  'the object as __proto__': good => `{"__proto__":${good}}`,
  'the object as constructor.prototype': good => `{"constructor":{"prototype":${good}}}`,
  'keys in other case': good => good.replace('event_type', 'Event_Type').replace('payload', 'PAYLOAD'),
  'keys with a blank': good => good.replace('event_type', 'event_type '),
}

function badBodiesOf(endpoint: string): Bad[] {
  const texts = { ...GOOD[endpoint], ...CONTENT }
  const good = objectOf(texts)
  const keys = Object.keys(texts)
  const invalid = { status: 422, code: 'VALIDATION_ERROR' }
  const bad = (name: string, body: string, path?: string): Bad => ({
    name,
    body,
    ...invalid,
    ...(path && { path }),
  })
  const at = (key: string, [path, text]: readonly [string, string]) =>
    bad(`${key} = ${text.slice(0, 60)}`, objectOf({ ...texts, [key]: text }), path)
  const required = keys.filter(key => !['audience', 'priority', 'ttl', 'correlation_id'].includes(key))
  const escaped = (key: string) => `\\u${key.charCodeAt(0).toString(16).padStart(4, '0')}${key.slice(1)}`
  return [
    ...required.map(key => bad(`without ${key}`, objectOf(without(texts, key)), key)),
    ...keys.flatMap(key => [
      bad(`${key} twice`, good.replace(/}$/, `,"${key}":${texts[key as never]}}`), key),
      bad(`${key} twice, first wrong`, good.replace('{', `{"${key}":[[5]],`), key),
      bad(`${key} twice, once with an escape`, good.replace(/}$/, `,"${escaped(key)}":null}`), key),
    ]),
    ...keys.flatMap(key => (SHAPES[key] ?? []).map(text => at(key, [key, text]))),
    ...keys.flatMap(key => (INSIDE[key] ?? []).map(pair => at(key, pair))),
    ...keys.flatMap(key => (TOO_LONG[key] ?? []).map(pair => ({ ...at(key, pair), status: 400 }))),
    ...Object.entries(NOT_THE_OBJECT).map(([name, make]) => bad(name, make(good))),
    ...Object.entries(BROKEN).map(([name, make]) => ({
      name,
      body: make(good),
      status: 400,
      code: 'INVALID_JSON',
    })),
  ]
}

/** A socket and a stream, and a check that both received nothing. */
async function listeners(service: TestApp) {
  const token = await service.token('u')
  const socket = await connectSocket(`${service.url}/ws?token=${token}`)
  const stream = await connectStream(`${service.url}/sse?token=${token}`)
  socket.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await Promise.all([socket.nextOf('subscribed'), stream.nextOf('connected')])
  return {
    /** Received messages; an end mark, sent to both, must be the only one. */
    heard: async () => {
      await service.post(`${AT}/broadcast`, { event_type: 'end', payload: null })
      const heard: unknown[] = []
      for (let type = ''; type !== 'end'; heard.push(type)) ({ event_type: type } = await socket.next())
      for (let type = ''; type !== 'end'; heard.push(type))
        ({ event_type: type } = (await stream.next()).data)
      return heard
    },
    [Symbol.dispose]: () => {
      socket.close()
      stream.close()
    },
  }
}

test.each(Object.keys(GOOD))('%s rejects every malformed body and delivers nothing', async endpoint => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  using listening = await listeners(service)
  const bodies = badBodiesOf(endpoint)
  const answers: unknown[] = []
  for (const { name, body, path } of bodies) {
    const { status, headers, json } = await service.post(AT + endpoint, body)
    const { code, message, details = [] } = json.error
    const paths: string[] = details.map((detail: { path: string }) => detail.path)
    answers.push({ name, status, code, named: path === undefined || paths.includes(path) })
    expect(headers.get('content-type')).toStartWith('application/json')
    expect(Object.keys(json)).toEqual(['error'])
    expect(message).toBeString()
    expect(paths.length).toBeLessThanOrEqual(20)
    for (const detail of details)
      expect(detail).toEqual({ path: expect.any(String), message: expect.stringMatching(/./) })
  }
  expect(answers).toEqual(bodies.map(({ name, status, code }) => ({ name, status, code, named: true })))
  expect(bodies.length).toBeGreaterThan(100)
  expect(await listening.heard()).toEqual(['end', 'end'])
  expect((await service.get('/health')).json.queue).toMatchObject({ total_messages: 0, users_with_queue: 0 })
  expect(service.lines.filter(({ level }) => level === 'error')).toEqual([])
})

test.each(Object.keys(GOOD))('%s accepts unusual but valid bodies', async endpoint => {
  await using service = await startTestApp()
  using listening = await listeners(service)
  const texts = { ...GOOD[endpoint], ...CONTENT }
  const good = objectOf(texts)
  const bodies = [
    good,
    ` \r\n\t${good} \r\n`,
    good.replace('{"a":[1]}', nested(63)),
    good.replace('{', `{"x":${nested(63)},"x":null,"__proto__":{"ttl":"5"},"":5,`),
    good.replace('"e"', `"${'😀'.repeat(128)}"`),
    good.replace('"x"', `"${'😀'.repeat(256)}"`),
    good.replace('"x"', '""'),
    good.replace('60', '4294967295'),
    good.replace('60', '0'),
    good.replace(/"(ttl|priority|correlation_id)":[^,}]+/g, '"$1":null'),
    objectOf({ event_type: '"e"', payload: 'null', ...GOOD[endpoint] }),
    good.replace('event_type', '\\u0065vent_type'),
  ]
  for (const body of bodies) {
    const { status, json } = await service.post(AT + endpoint, body)
    expect([body.slice(0, 80), status, json.delivered_to]).toEqual([
      body.slice(0, 80),
      200,
      endpoint.startsWith('/channel') ? 1 : 2,
    ])
  }
  expect(await listening.heard()).toHaveLength(2 + bodies.length * (endpoint.startsWith('/channel') ? 1 : 2))
})

test('the server accepts lists of the maximum length', async () => {
  await using service = await startTestApp()
  const rows = [
    ['/send-to-users', { target_user_ids: Array.from({ length: 10_000 }, () => 'u') }],
    ['/channels', { channels: Array.from({ length: 100 }, (_, n) => `c${n}`) }],
    ['/broadcast', { audience: { type: 'Roles', value: Array.from({ length: 100 }, () => 'r') } }],
    ['/broadcast', { audience: { type: 'Users', value: Array.from({ length: 10_000 }, () => 'u') } }],
    ['/broadcast', { audience: { type: 'Channels', value: Array.from({ length: 100 }, () => 'c') } }],
  ] as const
  for (const [path, target] of rows) {
    const { status } = await service.post(AT + path, { ...target, event_type: 'e', payload: null })
    expect([path, status]).toEqual([path, 200])
  }
})

test('an error lists the first twenty faults, each with its path', async () => {
  await using service = await startTestApp()
  const { status, json } = await service.post(`${AT}/channels`, {
    channels: Array.from({ length: 500 }, () => ''),
  })
  expect([status, json.error.code]).toEqual([422, 'VALIDATION_ERROR'])
  const paths = json.error.details.map(({ path }: { path: string }) => path)
  expect(paths).toEqual(Array.from({ length: 20 }, (_, n) => `channels[${n}]`))
})

test('an error lists all faults of a body', async () => {
  await using service = await startTestApp()
  const { json } = await service.post(`${AT}/send`, { target_user_id: 5, priority: 'low', ttl: -1 })
  expect(json.error.details.map(({ path }: { path: string }) => path).sort()).toEqual([
    'event_type',
    'payload',
    'priority',
    'target_user_id',
    'ttl',
  ])
})

test('an error calls a missing key required', async () => {
  await using service = await startTestApp()
  const { json } = await service.post(`${AT}/broadcast`, { payload: 1 })
  expect(json.error.details).toEqual([{ path: 'event_type', message: 'required' }])
})

test.each([
  ['/health?', 200],
  ['/health?x=1&x=2', 200],
  ['/health?%zz', 200],
  ['/health?token=a&token=b&limit=-1', 200],
  [`/health?${'x'.repeat(8_000)}`, 200],
  ['/health/live?%00', 200],
  ['/health/ready?[]=%ff', 200],
  ['/health/', 404],
  ['/health%2Flive', 404],
  ['/health/live/ready', 404],
  ['/health%zz', 404],
  ['/health%ff', 404],
  ['/health%0d%0aX:1', 404],
])('GET %s is answered %d', async (path, status) => {
  await using service = await startTestApp()
  const answer = await service.get(path)
  expect(answer.status).toBe(status)
  expect(answer.json.error?.code).toBe(status === 404 ? 'NOT_FOUND' : undefined)
})

test('no answer and no log line repeats input of a caller', async () => {
  await using service = await startTestApp()
  const s = 'ZZECHOZZ'
  const key = { 'x-api-key': API_KEY }
  const body = (given: object) =>
    JSON.stringify({ target_user_id: 'u', event_type: 'e', payload: null, ...given })
  const requests: [string, RequestInit][] = [
    [`/${s}?${s}=${s}`, {}],
    [`/health?${s}`, { method: 'PUT' }],
    [`${AT}/send`, { method: 'POST', headers: { 'x-api-key': s }, body: s }],
    [`${AT}/send`, { method: 'POST', headers: { ...key, 'content-type': `text/${s}` }, body: s }],
    ...[s, `{"${s}":1}`, `["${s}"]`, body({ priority: s }), body({ ttl: s }), body({ event_type: [s] })].map(
      (text): [string, RequestInit] => [
        `${AT}/send`,
        { method: 'POST', headers: { ...key, 'content-type': 'application/json' }, body: text },
      ],
    ),
    ...[body({ audience: { type: s } }), body({ audience: { [s]: s } }), body({ payload: s })].map(
      (text): [string, RequestInit] => [
        `${AT}/broadcast`,
        { method: 'POST', headers: { ...key, 'content-type': 'application/json' }, body: text },
      ],
    ),
    [`/sse?token=${s}`, {}],
    [`/ws?token=${s}&cursor=${s}&cursor=${s}`, {}],
  ]
  for (const [path, init] of requests)
    expect(await (await fetch(service.url + path, init)).text()).not.toContain(s)
  expect(JSON.stringify(service.lines)).not.toContain(s)
  expect(JSON.stringify(service.lines)).not.toContain(API_KEY)
})
