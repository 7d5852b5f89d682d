import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import type { Template } from '../../src/store/template.ts'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { rawOf, settle, socketOf } from '../support/visit.ts'

const AT = '/api/v1/templates'
const SENDS = '/api/v1/notifications'
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const NO_ID = '00000000-0000-0000-0000-000000000000'

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Message
}

/** Sends any method with the key: strings as they are, other values as JSON. */
async function call(
  app: TestApp,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(app.url + path, {
    method,
    headers: { 'x-api-key': API_KEY, 'content-type': 'application/json', ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const json = text === '' ? undefined : JSON.parse(text)
  return { status: response.status, headers: response.headers, text, json }
}

const codeOf = ({ status, json }: Answer | { status: number; json: Message }): string =>
  `${status} ${json.error.code}`
const pathsOf = ({ json }: { json: Message }): string[] =>
  (json.error.details ?? []).map(({ path }: { path: string }) => path)

const create = (app: TestApp, id: string, more: object = {}, headers = {}) =>
  app.post(AT, { id, name: 'n', event_type: 'e', payload_template: '{{a}}', ...more }, headers)

const A2_CREATE =
  '{"id":"inv_paid","name":"Invoice paid","event_type":"invoice.paid","payload_template":{"text":"No {{no}} for {{who}}","n":"{{no}}","t":"{{{no}}}","{{k}}":1,"keep":"{{absent}}","city":"{{to.city}}"},"default_priority":"Low","default_ttl":60}'
const A2_SEND =
  '{"target_user_id":"u-7","template_id":"inv_paid","variables":{"no":42,"who":null,"k":"extra","to":{"city":"{{no}}"}}}'
const A2_PAYLOAD = '{"text":"No 42 for ","n":"42","t":42,"extra":1,"keep":"{{absent}}","city":"{{no}}"}'

const nextText = async (client: Awaited<ReturnType<typeof rawOf>>) =>
  (await client.frames.until(({ opcode }) => opcode === 1)).payload.toString()

test('the documented template is created and rendered as documented, byte for byte', async () => {
  const docs = await Bun.file(new URL('../../docs/API.md', import.meta.url)).text()
  for (const text of [A2_CREATE, A2_SEND, A2_PAYLOAD]) expect(docs).toContain(text)
  await using app = await startTestApp()
  const created = await app.post(AT, A2_CREATE)
  const { created_at: createdAt, updated_at: updatedAt } = created.json
  expect([created.status, created.headers.get('content-type')]).toEqual([
    201,
    'application/json;charset=utf-8',
  ])
  expect(created.text).toBe(
    `${A2_CREATE.slice(0, -1)},"created_at":"${createdAt}","updated_at":"${updatedAt}"}`,
  )
  for (const time of [createdAt, updatedAt]) expect(time).toMatch(TIMESTAMP)
  using client = await rawOf(app, 'u-7')
  const sent = await app.post(`${SENDS}/send`, A2_SEND)
  expect([sent.status, sent.json.delivered_to]).toEqual([200, 1])
  const frame = await nextText(client)
  expect(frame).toBe(
    `{"type":"notification","id":"${sent.json.notification_id}","occurred_at":"${JSON.parse(frame).occurred_at}","event_type":"invoice.paid","payload":${A2_PAYLOAD},"metadata":{"source":"http-api","priority":"Low","ttl":60}}`,
  )
  const strict = await app.post(`${SENDS}/send`, A2_SEND.replace('{', '{"strict":true,'))
  expect(codeOf(strict)).toBe('400 VALIDATION_ERROR')
  expect(strict.json.error.details).toEqual([
    { path: 'variables.absent', message: expect.stringMatching(/./) },
  ])
})

describe('a template', () => {
  const FULL =
    '{"id":"größe-1_A","name":"é \\" n","event_type":"e","payload_template":{"b":1e400,"a":-0,"1":1.10,"s":"\\ud800\\u0061"},"default_priority":"Critical","default_ttl":0,"description":"","strict":true'

  test('is returned exactly as written, alone and in the list', async () => {
    await using app = await startTestApp()
    const first = await app.post(AT, `${FULL},"unknown":[1]}`)
    const full = `${FULL},"created_at":"${first.json.created_at}","updated_at":"${first.json.updated_at}"}`
    expect([first.status, first.text]).toEqual([201, full])
    const bare = await create(app, 'bare', {
      payload_template: null,
      default_ttl: null,
      description: null,
      strict: null,
    })
    expect(bare.text).toBe(
      `{"id":"bare","name":"n","event_type":"e","payload_template":null,"default_priority":"Normal","created_at":"${bare.json.created_at}","updated_at":"${bare.json.updated_at}"}`,
    )
    expect((await app.get(`${AT}/gr%C3%B6%C3%9Fe-1_A`)).text).toBe(full)
    expect((await app.get(AT)).text).toBe(`{"templates":[${bare.text},${full}],"total":2}`)
  })

  test('is listed by id in code point order; the list may be empty', async () => {
    await using app = await startTestApp()
    expect((await app.get(AT)).text).toBe('{"templates":[],"total":0}')
    for (const id of ['b', 'ab', '𝒜', '\uffda', 'a', 'B', '9', '10']) await create(app, id)
    const { templates, total } = (await app.get(`${AT}?unknown=1`)).json
    expect(templates.map(({ id }: Template) => id)).toEqual(['10', '9', 'B', 'a', 'ab', 'b', '\uffda', '𝒜'])
    expect(total).toBe(8)
  })

  test('answers HEAD like GET, without a body', async () => {
    await using app = await startTestApp()
    await create(app, 't')
    for (const [path, status] of [
      [AT, 200],
      [`${AT}/t`, 200],
      [`${AT}/x`, 404],
    ] as const) {
      const { status: answered, text } = await call(app, 'HEAD', path)
      expect([path, answered, text]).toEqual([path, status, ''])
    }
  })

  test('changes only in the given fields, and the change applies from the next request', async () => {
    let now = 1_700_000_000_000
    await using app = await startTestApp(
      {},
      { clock: { now: () => now, monotonic: () => performance.now() } },
    )
    await app.post(AT, `${FULL}}`)
    const path = `${AT}/gr%C3%B6%C3%9Fe-1_A`
    const created = '"created_at":"2023-11-14T22:13:20.000Z"'
    const rows: [body: string, after: string][] = [
      ['{}', FULL],
      ['{"id":"x","created_at":"y","updated_at":5,"total":1}', FULL],
      ['{"id":[],"id":{},"created_at":null}', FULL],
      ['{"name":null,"event_type":null,"payload_template":null,"default_priority":null,"strict":null}', FULL],
      ['{"name":"m"}', FULL.replace('é \\" n', 'm')],
      ['{"event_type":"f.g"}', FULL.replace('é \\" n', 'm').replace('"e"', '"f.g"')],
    ]
    for (const [body, after] of rows) {
      now += 1_000
      const { status, text } = await call(app, 'PUT', path, body)
      const updated = `"updated_at":"${new Date(now).toISOString()}"`
      expect([body, status, text]).toEqual([body, 200, `${after},${created},${updated}}`])
      expect((await app.get(path)).text).toBe(text)
    }
  })

  test('loses ttl and description to null, and strictness to false', async () => {
    await using app = await startTestApp()
    await app.post(AT, `${FULL}}`)
    const path = `${AT}/gr%C3%B6%C3%9Fe-1_A`
    const keys = async (body: object) => Object.keys((await call(app, 'PUT', path, body)).json).join()
    const head = 'id,name,event_type,payload_template,default_priority'
    const foot = 'created_at,updated_at'
    expect(await keys({ default_ttl: null })).toBe(`${head},description,strict,${foot}`)
    expect(await keys({ description: null })).toBe(`${head},strict,${foot}`)
    expect(await keys({ strict: false })).toBe(`${head},${foot}`)
    expect(await keys({ default_ttl: 4_294_967_295, description: 'd', strict: true })).toBe(
      `${head},default_ttl,description,strict,${foot}`,
    )
    const { json } = await call(app, 'PUT', path, '{"payload_template":[ 1.0 ],"default_priority":"Low"}')
    expect([json.payload_template, json.default_priority]).toEqual([[1], 'Low'])
    expect((await app.get(path)).text).toContain('"payload_template":[ 1.0 ],"default_priority":"Low"')
  })

  test('is deleted once, with an empty answer, and may be created again', async () => {
    await using app = await startTestApp()
    await create(app, 't')
    const { status, text, headers } = await call(app, 'DELETE', `${AT}/t`)
    expect([status, text, headers.get('content-type')]).toEqual([204, '', null])
    for (const method of ['DELETE', 'GET', 'PUT'])
      expect(codeOf(await call(app, method, `${AT}/t`, method === 'PUT' ? '{}' : undefined))).toBe(
        '404 TEMPLATE_NOT_FOUND',
      )
    expect((await create(app, 't')).status).toBe(201)
  })

  test('is created once by concurrent requests', async () => {
    await using app = await startTestApp()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => create(app, 't', { name: `${n}` })),
    )
    const [first, ...others] = answers.toSorted((a, b) => a.status - b.status)
    expect(first?.status).toBe(201)
    expect(new Set(others.map(codeOf))).toEqual(new Set(['409 TEMPLATE_EXISTS']))
    expect((await app.get(`${AT}/t`)).json).toEqual(first?.json)
  })

  test('is one of at most 10,000', async () => {
    let store: Store | undefined
    await using app = await startTestApp({}, { wrapStore: each => (store = each) })
    for (let n = 0; n < 9_999; n++) {
      const at = { createdAt: n, updatedAt: n }
      const text = { name: 'n', eventType: 'e', payloadTemplate: 'null' }
      await store?.templates.create(
        'default',
        { id: `t${n}`, ...text, ...at, defaultPriority: 'Low', strict: false },
        10_000,
      )
    }
    expect((await create(app, 'last')).status).toBe(201)
    expect(codeOf(await create(app, 'more'))).toBe('400 INVALID_TEMPLATE')
    expect(codeOf(await create(app, 'last'))).toBe('409 TEMPLATE_EXISTS')
    expect((await app.get(AT)).json.total).toBe(10_000)
    expect((await call(app, 'DELETE', `${AT}/t0`)).status).toBe(204)
    expect((await create(app, 'more')).status).toBe(201)
  })

  test('exists only in its tenant', async () => {
    await using app = await startTestApp({ TENANT_ENABLED: 'true' })
    const acme = { 'x-tenant-id': 'acme' }
    const globex = { 'x-tenant-id': 'globex' }
    await create(app, 't', { event_type: 'of acme' }, acme)
    for (const headers of [globex, {}]) {
      expect((await app.get(AT, headers)).json).toEqual({ templates: [], total: 0 })
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const ask = async (id: string) =>
          (await call(app, method, `${AT}/${id}`, method === 'PUT' ? '{}' : undefined, headers)).text
        expect([method, await ask('t')]).toEqual([method, await ask('none')])
      }
      const send = async (id: string) =>
        (await app.post(`${SENDS}/send`, { target_user_id: 'u', template_id: id }, headers)).text
      expect(await send('t')).toBe(await send('none'))
    }
    await create(app, 't', { event_type: 'of globex' }, globex)
    using client = await socketOf(app, 'u', { claims: { tenant_id: 'globex' } })
    await app.post(`${SENDS}/broadcast`, { template_id: 't' }, acme)
    await app.post(`${SENDS}/broadcast`, { template_id: 't' }, globex)
    expect((await settle(client)).map(({ event_type }) => event_type)).toEqual(['of globex'])
    expect((await app.get(`${AT}/t`, acme)).json.event_type).toBe('of acme')
  })

  test('needs an API key', async () => {
    await using app = await startTestApp()
    for (const [method, path] of [
      ['POST', AT],
      ['GET', AT],
      ['GET', `${AT}/t`],
      ['PUT', `${AT}/t`],
      ['DELETE', `${AT}/t`],
    ] as const)
      expect(
        codeOf(await call(app, method, path, method === 'GET' ? undefined : '{}', { 'x-api-key': 'no' })),
      ).toBe('401 UNAUTHORIZED')
    for (const [method, path, allow] of [
      ['PUT', AT, 'POST, GET, HEAD'],
      ['DELETE', AT, 'POST, GET, HEAD'],
      ['POST', `${AT}/t`, 'GET, HEAD, PUT, DELETE'],
      ['PATCH', `${AT}/t`, 'GET, HEAD, PUT, DELETE'],
    ] as const) {
      const answer = await call(app, method, path, '{}')
      expect([codeOf(answer), answer.headers.get('allow')]).toEqual(['405 METHOD_NOT_ALLOWED', allow])
    }
    for (const path of [`${AT}/`, `${AT}/a/b`, '/api/v1/Templates'])
      expect(codeOf(await app.get(path))).toBe('404 NOT_FOUND')
  })
})

describe('an invalid template', () => {
  const GOOD: Readonly<Record<string, string>> = {
    id: '"t"',
    name: '"n"',
    event_type: '"e"',
    payload_template: '{"a":[1]}',
    default_priority: '"High"',
    default_ttl: '60',
    description: '"d"',
    strict: 'true',
  }
  const objectOf = (texts: Readonly<Record<string, string>>) =>
    `{${Object.entries(texts)
      .map(([key, text]) => `"${key}":${text}`)
      .join()}}`
  const quoted = (length: number, unit = 'x') => `"${unit.repeat(length)}"`
  const NO_STRING = ['5', 'true', '[]', '{}', '["n"]']
  const CONTROLS = ['"a\\u0000"', '"\\n"', '"\\u007f"', '"\\u009f"']

  /** Answered 422 on create and change. */
  const SHAPES: Readonly<Record<string, readonly string[]>> = {
    name: NO_STRING,
    event_type: NO_STRING,
    default_priority: ['"low"', '"Urgent"', '""', '5', '[]', '{}', 'true'],
    default_ttl: ['"5"', '5.5', '5.0', '1e3', '-5.5', '1e400', 'true', '[]', '{}'],
    description: NO_STRING,
    strict: ['"true"', '1', '0', '[]', '{}'],
  }
  /** Answered 400 INVALID_TEMPLATE on create and change. */
  const RULES: Readonly<Record<string, readonly string[]>> = {
    name: ['""', quoted(257), quoted(129, 'é')],
    event_type: ['""', quoted(129), quoted(129, '😀'), ...CONTROLS],
    payload_template: [quoted(65_535), quoted(32_768, 'é'), `[${' '.repeat(65_535)}]`],
    default_ttl: ['-1', '4294967296', '18446744073709551616'],
    description: [quoted(65_537), quoted(32_769, 'é')],
  }
  const BAD_IDS = [
    ...['""', '" "', '"a b"', '"a.b"', '"a/b"', '"a:b"', '"{{a}}"', '"a\\u0000"', '"\\ud800"', '"😀"'],
    ...['"e\\u0301"', quoted(65), quoted(33, 'é'), quoted(17, '𝒜')],
  ]
  const BROKEN = [
    '',
    ' ',
    '{',
    '[',
    '\ufeff{}',
    '{}{}',
    '{"name":}',
    '{"name":"n",}',
    `{"a":${'['.repeat(64)}${']'.repeat(64)}}`,
  ]
  const NO_OBJECTS = ['null', '5', '"x"', '[]', '[{}]']

  type Row = readonly [body: string, answer: string, path?: string]
  const common: readonly Row[] = [
    ...Object.entries(SHAPES).flatMap(([key, texts]) =>
      texts.map((text): Row => [objectOf({ ...GOOD, [key]: text }), '422 VALIDATION_ERROR', key]),
    ),
    ...Object.keys(GOOD)
      .filter(key => key !== 'id')
      .map(
        (key): Row => [objectOf(GOOD).replace(/}$/, `,"${key}":${GOOD[key]}}`), '422 VALIDATION_ERROR', key],
      ),
    ...Object.entries(RULES).flatMap(([key, texts]) =>
      texts.map((text): Row => [objectOf({ ...GOOD, [key]: text }), '400 INVALID_TEMPLATE', key]),
    ),
    ...BROKEN.map((text): Row => [text, '400 INVALID_JSON']),
    ...NO_OBJECTS.map((text): Row => [text, '422 VALIDATION_ERROR']),
  ]
  const without = (key: string) =>
    objectOf(Object.fromEntries(Object.entries(GOOD).filter(([each]) => each !== key)))
  const onCreate: readonly Row[] = [
    ...common,
    ...['id', 'name', 'event_type', 'payload_template'].map(
      (key): Row => [without(key), '422 VALIDATION_ERROR', key],
    ),
    ...['id', 'name', 'event_type', 'default_priority'].map(
      (key): Row => [objectOf({ ...GOOD, [key]: 'null' }), '422 VALIDATION_ERROR', key],
    ),
    ...NO_STRING.map((text): Row => [objectOf({ ...GOOD, id: text }), '422 VALIDATION_ERROR', 'id']),
    [objectOf(GOOD).replace('{', '{"id":"t",'), '422 VALIDATION_ERROR', 'id'],
    ...BAD_IDS.map((text): Row => [objectOf({ ...GOOD, id: text }), '400 INVALID_ID']),
    [objectOf({ ...GOOD, id: '""', name: '""' }), '400 INVALID_ID'],
    ['{}', '422 VALIDATION_ERROR', 'payload_template'],
  ]

  const refusals = async (rows: readonly Row[], ask: (body: string) => Promise<Answer>) => {
    const answers: unknown[] = []
    for (const [body, , path] of rows) {
      const answer = await ask(body)
      expect(Object.keys(answer.json)).toEqual(['error'])
      const isNamed = path === undefined || pathsOf(answer).includes(path)
      answers.push([body.slice(0, 200), codeOf(answer), isNamed])
    }
    expect(answers).toEqual(rows.map(([body, answer]) => [body.slice(0, 200), answer, true]))
  }

  test('is not created', async () => {
    await using app = await startTestApp()
    await refusals(onCreate, body => call(app, 'POST', AT, body))
    expect((await app.get(AT)).json.total).toBe(0)
    expect(app.lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('is not changed', async () => {
    await using app = await startTestApp()
    const { text } = await app.post(AT, objectOf(GOOD))
    await refusals(common, body => call(app, 'PUT', `${AT}/t`, body))
    expect((await app.get(`${AT}/t`)).text).toBe(text)
    // A missing template gets the same error first.
    await refusals(common, body => call(app, 'PUT', `${AT}/none`, body))
  })

  test('gets one error with all faults of a kind', async () => {
    await using app = await startTestApp()
    const answer = await call(
      app,
      'POST',
      AT,
      objectOf({ ...GOOD, name: '""', event_type: '""', default_ttl: '-1' }),
    )
    expect([codeOf(answer), pathsOf(answer)]).toEqual([
      '400 INVALID_TEMPLATE',
      ['name', 'event_type', 'default_ttl'],
    ])
  })

  test('differs from an unusual but valid one, which is accepted', async () => {
    await using app = await startTestApp()
    const nearly: Readonly<Record<string, readonly string[]>> = {
      id: [quoted(64), quoted(32, 'é'), quoted(16, '𝒜'), '"__proto__"', '"-"', '"_"', '"0"', '"名٣"'],
      name: [quoted(256), quoted(128, 'é'), '" "', '"\\u0000"'],
      event_type: [quoted(128), quoted(128, '😀')],
      payload_template: [
        quoted(65_534),
        `[${' '.repeat(65_534)}]`,
        '{"a":1,"a":2}',
        `${'['.repeat(63)}${']'.repeat(63)}`,
      ],
      default_ttl: ['0', '4294967295', 'null'],
      description: [quoted(65_536), '""', 'null'],
      strict: ['false', 'null'],
    }
    for (const [key, texts] of Object.entries(nearly))
      for (const text of texts) {
        const body = { ...GOOD, id: `"${crypto.randomUUID()}"`, [key]: text }
        const created = await app.post(AT, objectOf(body))
        expect([key, text.slice(0, 60), created.status]).toEqual([key, text.slice(0, 60), 201])
        const changed = await call(app, 'PUT', `${AT}/${encodeURIComponent(created.json.id)}`, objectOf(body))
        expect([changed.status, changed.text.slice(0, -28)]).toEqual([200, created.text.slice(0, -28)])
      }
  })

  test('is rejected from a body of 2,097,153 bytes', async () => {
    await using app = await startTestApp()
    const good = objectOf(GOOD)
    const padded = (bytes: number) => good + ' '.repeat(bytes - good.length)
    expect((await app.post(AT, padded(2_097_152))).status).toBe(201)
    expect(codeOf(await app.post(AT, padded(2_097_153)))).toBe('413 PAYLOAD_TOO_LARGE')
    expect((await call(app, 'PUT', `${AT}/t`, padded(2_097_152))).status).toBe(200)
    expect(codeOf(await call(app, 'PUT', `${AT}/t`, padded(2_097_153)))).toBe('413 PAYLOAD_TOO_LARGE')
    for (const [method, path] of [
      ['POST', AT],
      ['PUT', `${AT}/t`],
    ] as const)
      expect(codeOf(await call(app, method, path, good, { 'content-type': 'text/plain' }))).toBe(
        '415 UNSUPPORTED_MEDIA_TYPE',
      )
  })

  test('is not found under an invalid id or a broken path', async () => {
    await using app = await startTestApp()
    const rows: [segment: string, answer: string][] = [
      ['none', '404 TEMPLATE_NOT_FOUND'],
      ['a%20b', '404 TEMPLATE_NOT_FOUND'],
      ['a%2Fb', '404 TEMPLATE_NOT_FOUND'],
      ['%00', '404 TEMPLATE_NOT_FOUND'],
      ['x'.repeat(300), '404 TEMPLATE_NOT_FOUND'],
      ['__proto__', '404 TEMPLATE_NOT_FOUND'],
      ['%zz', '400 VALIDATION_ERROR'],
      ['%ff', '400 VALIDATION_ERROR'],
    ]
    for (const method of ['GET', 'PUT', 'DELETE'])
      for (const [segment, answer] of rows) {
        const got = await call(app, method, `${AT}/${segment}`, method === 'PUT' ? '{}' : undefined)
        expect([method, segment, codeOf(got)]).toEqual([method, segment, answer])
      }
  })
})

/** One request per endpoint that reaches user `u`, subscribed to `c`. */
const TO_U: Readonly<Record<string, object>> = {
  '/send': { target_user_id: 'u' },
  '/send-to-users': { target_user_ids: ['u'] },
  '/broadcast': { audience: { type: 'Users', value: ['u'] } },
  '/channel': { channel: 'c' },
  '/channels': { channels: ['c'] },
}
/** Sends the request as a batch of one item. */
const ITEM: Readonly<Record<string, object>> = {
  '/send': { target: { type: 'user', value: 'u' } },
  '/send-to-users': { target: { type: 'users', value: ['u'] } },
  '/broadcast': { target: { type: 'broadcast' }, audience: { type: 'Users', value: ['u'] } },
  '/channel': { target: { type: 'channel', value: 'c' } },
  '/channels': { target: { type: 'channels', value: ['c'] } },
}

async function listen(app: TestApp): Promise<SocketClient> {
  const client = await socketOf(app, 'u')
  client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  await client.nextOf('subscribed')
  return client
}

describe('a send with a template', () => {
  const TEMPLATE = {
    event_type: 'of.template',
    payload_template: { t: '{{a}}', v: '{{{a}}}' },
    default_ttl: 30,
  }

  for (const [path, target] of Object.entries(TO_U))
    test(`to ${path}, and as a batch item, carries the rendered payload`, async () => {
      await using app = await startTestApp()
      using client = await listen(app)
      await create(app, 't', { ...TEMPLATE, default_priority: 'High' })
      const content = { template_id: 't', variables: { a: 1 }, correlation_id: 'c-1' }
      expect((await app.post(SENDS + path, { ...target, ...content })).json.delivered_to).toBe(1)
      const batch = await app.post(`${SENDS}/batch`, { notifications: [{ ...ITEM[path], ...content }] })
      expect(batch.json.results[0].delivered_to).toBe(1)
      for (const message of await client.take(2)) {
        const { event_type, payload, metadata } = message
        expect({ event_type, payload, metadata }).toEqual({
          event_type: 'of.template',
          payload: { t: '1', v: 1 },
          metadata: {
            source: 'http-api',
            priority: 'High',
            ttl: 30,
            ...(path === '/broadcast' && { audience: { type: 'Users', value: ['u'] } }),
            correlation_id: 'c-1',
          },
        })
      }
    })

  /** Request fields and expected result; `direct` if the payload is used. */
  const MODES: readonly (readonly [said: object, expected: object])[] = [
    [{ template_id: 't' }, { event_type: 'of.template', payload: { t: '{{a}}', v: '{{{a}}}' } }],
    [{ template_id: 't', variables: {} }, { payload: { t: '{{a}}', v: '{{{a}}}' } }],
    [{ template_id: 't', event_type: 'x', payload: 1 }, { event_type: 'of.template' }],
    [{ template_id: 't', event_type: 5, payload: null }, { event_type: 'of.template' }],
    [{ template_id: 't', event_type: '' }, { event_type: 'of.template' }],
    [
      { template_id: 't', variables: { a: [1, { b: null }] } },
      { payload: { t: '[1,{"b":null}]', v: [1, { b: null }] } },
    ],
    [{ template_id: 't', variables: { other: 1 }, strict: false }, { payload: { t: '{{a}}', v: '{{{a}}}' } }],
    [{ template_id: 't', strict: null }, { event_type: 'of.template' }],
    [{ template_id: 'strict', variables: { a: null } }, { payload: { t: '', v: null } }],
    [{ template_id: 'strict', strict: false }, { payload: { t: '{{a}}', v: '{{{a}}}' } }],
    [
      { template_id: 't', priority: 'Critical' },
      { metadata: { source: 'http-api', priority: 'Critical', ttl: 30 } },
    ],
    [{ template_id: 't', priority: null }, { metadata: { source: 'http-api', priority: 'Low', ttl: 30 } }],
    [{ template_id: 't', ttl: 7 }, { metadata: { source: 'http-api', priority: 'Low', ttl: 7 } }],
    [{ template_id: 't', ttl: 0 }, { metadata: { source: 'http-api', priority: 'Low', ttl: 0 } }],
    [{ template_id: 't', ttl: null }, { metadata: { source: 'http-api', priority: 'Low', ttl: 30 } }],
    [{ template_id: 'plain' }, { metadata: { source: 'http-api', priority: 'Normal' } }],
    [
      { template_id: null, event_type: 'x', payload: 1 },
      { event_type: 'x', payload: 1 },
    ],
    [
      { template_id: 5, event_type: 'x', payload: 1 },
      { event_type: 'x', payload: 1 },
    ],
    [{ template_id: {}, event_type: 'x', payload: '{{a}}', variables: { a: 1 } }, { payload: '{{a}}' }],
  ]
  test('prefers the template to a payload, and fields of the request to those of the template', async () => {
    await using app = await startTestApp()
    using client = await listen(app)
    await create(app, 't', { ...TEMPLATE, default_priority: 'Low' })
    await create(app, 'strict', { ...TEMPLATE, strict: true })
    await create(app, 'plain')
    for (const [said, expected] of MODES) {
      await app.post(`${SENDS}/send`, { target_user_id: 'u', ...said })
      await app.post(`${SENDS}/batch`, { notifications: [{ ...ITEM['/send'], ...said }] })
      const messages = await settle(client)
      expect([said, messages.length]).toEqual([said, 2])
      for (const message of messages)
        for (const [key, value] of Object.entries(expected))
          expect([said, message[key]]).toEqual([said, value])
    }
  })

  const BAD: readonly (readonly [said: object, answer: string, ...paths: string[]])[] = [
    [{ template_id: 'none' }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: '' }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: 'a b' }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: 'x'.repeat(1_000) }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: '__proto__' }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: 'none', event_type: 'x', payload: 1 }, '400 VALIDATION_ERROR', 'template_id'],
    [{ template_id: 't', variables: null }, '400 VALIDATION_ERROR', 'variables'],
    [{ template_id: 't', variables: [] }, '400 VALIDATION_ERROR', 'variables'],
    [{ template_id: 't', variables: '{}' }, '400 VALIDATION_ERROR', 'variables'],
    [{ template_id: 't', variables: 5 }, '400 VALIDATION_ERROR', 'variables'],
    [{ template_id: 't', variables: true }, '400 VALIDATION_ERROR', 'variables'],
    [{ template_id: 't', strict: true }, '400 VALIDATION_ERROR', 'variables.a'],
    [{ template_id: 'strict' }, '400 VALIDATION_ERROR', 'variables.a'],
    [{ template_id: 'strict', strict: null, variables: { b: 1 } }, '400 VALIDATION_ERROR', 'variables.a'],
    [
      { template_id: 'many', strict: true, variables: { n1: 1 } },
      '400 VALIDATION_ERROR',
      'variables.n0',
      'variables.n2',
      'variables.o.p',
    ],
    [{ template_id: 'huge', variables: { a: 'x'.repeat(60_000) } }, '422 SUBSTITUTION_FAILED'],
    [{ template_id: 't', strict: 'true' }, '422 VALIDATION_ERROR', 'strict'],
    [{ template_id: 't', strict: 1 }, '422 VALIDATION_ERROR', 'strict'],
    [{ template_id: 't', priority: 'low' }, '422 VALIDATION_ERROR', 'priority'],
    [{ template_id: 't', ttl: -1 }, '422 VALIDATION_ERROR', 'ttl'],
    [{ template_id: 't', ttl: '5' }, '422 VALIDATION_ERROR', 'ttl'],
    [{ template_id: 't', correlation_id: 'x'.repeat(257) }, '422 VALIDATION_ERROR', 'correlation_id'],
    [{ template_id: null }, '422 VALIDATION_ERROR', 'event_type', 'payload'],
    [{ template_id: 5, event_type: 'x' }, '422 VALIDATION_ERROR', 'payload'],
    [{ template_id: ['t'], variables: {} }, '422 VALIDATION_ERROR', 'event_type', 'payload'],
    [{ variables: {} }, '422 VALIDATION_ERROR', 'event_type', 'payload'],
  ]
  async function withTemplates(): Promise<TestApp> {
    const app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 't', TEMPLATE)
    await create(app, 'strict', { ...TEMPLATE, strict: true })
    await create(app, 'many', { payload_template: ['{{n0}}', '{{n1}}{{n2}}{{n0}}', '{{{o.p}}}'] })
    await create(app, 'huge', { payload_template: '{{a}}'.repeat(1_000) })
    return app
  }

  for (const [path, target] of Object.entries(TO_U))
    test(`to ${path} that cannot be rendered is rejected, and nothing is sent`, async () => {
      await using app = await withTemplates()
      using client = await listen(app)
      for (const [said, expected, ...paths] of BAD) {
        const answer = await app.post(SENDS + path, { ...target, ...said })
        expect([said, codeOf(answer), pathsOf(answer)]).toEqual([said, expected, paths])
      }
      const twice = ['template_id', 'variables', 'strict', 'event_type', 'payload']
      for (const key of twice) {
        const body = JSON.stringify({ ...target, template_id: 't', [key]: 't' })
        const answer = await app.post(SENDS + path, body.replace('{', `{"${key}":"t",`))
        expect([key, codeOf(answer), pathsOf(answer).includes(key)]).toEqual([
          key,
          '422 VALIDATION_ERROR',
          true,
        ])
      }
      expect(await settle(client)).toEqual([])
      expect((await app.get('/health')).json.queue.total_messages).toBe(0)
    })

  test('as a batch item fails alone where a send is 400 or 413, and rejects the batch where a send is 422', async () => {
    await using app = await withTemplates()
    using client = await listen(app)
    for (const [said, expected, ...paths] of BAD) {
      const item = { ...ITEM['/send'], ...said }
      const answer = await app.post(`${SENDS}/batch`, {
        notifications: [item, { ...ITEM['/send'], event_type: 'x', payload: 1 }],
      })
      if (expected === '422 VALIDATION_ERROR') {
        expect([said, codeOf(answer)]).toEqual([said, expected])
        expect(pathsOf(answer)).toEqual(paths.map(path => `notifications[0].${path}`))
        continue
      }
      const [first, second] = answer.json.results
      expect([said, `${expected.slice(0, 4)}${first.code}`]).toEqual([said, expected])
      for (const path of paths) expect(first.error).toContain(`${path}: `)
      expect(first).toEqual({
        index: 0,
        notification_id: NO_ID,
        delivered_to: 0,
        failed: 0,
        queued: 0,
        success: false,
        error: first.error,
        code: first.code,
      })
      expect(second.status).toBe('delivered')
    }
    const sent = BAD.filter(([, expected]) => expected !== '422 VALIDATION_ERROR').length
    expect((await settle(client)).map(({ event_type }) => event_type)).toEqual(
      Array.from({ length: sent }, () => 'x'),
    )
  })

  test('gets an error that lists at most twenty missing variables', async () => {
    await using app = await startTestApp()
    await create(app, 't', {
      payload_template: Array.from({ length: 30 }, (_, n) => `{{n${n}}}`),
      strict: true,
    })
    const answer = await app.post(`${SENDS}/broadcast`, { template_id: 't' })
    expect(pathsOf(answer)).toEqual(Array.from({ length: 20 }, (_, n) => `variables.n${n}`))
  })

  test('renders a payload of at most 65,536 bytes', async () => {
    await using app = await startTestApp()
    using client = await listen(app)
    await create(app, 't', { payload_template: `{{a}}${'é'.repeat(32_000)}` })
    const send = (length: number) =>
      app.post(`${SENDS}/send`, {
        target_user_id: 'u',
        template_id: 't',
        variables: { a: 'x'.repeat(length) },
      })
    expect(codeOf(await send(1_535))).toBe('422 SUBSTITUTION_FAILED')
    expect((await send(1_534)).status).toBe(200)
    expect(Buffer.byteLength(JSON.stringify((await client.next()).payload))).toBe(65_536)
  })

  test('carries the template of its acceptance, whatever changes later', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 't', { payload_template: 'first {{a}}' })
    const send = () =>
      app.post(`${SENDS}/send`, { target_user_id: 'u', template_id: 't', variables: { a: 1 } })
    await send()
    await call(app, 'PUT', `${AT}/t`, { payload_template: 'second {{a}}', event_type: 'f' })
    await send()
    await call(app, 'DELETE', `${AT}/t`)
    expect(codeOf(await send())).toBe('400 VALIDATION_ERROR')
    await create(app, 't', { payload_template: 'third {{a}}' })
    await send()
    using client = await socketOf(app, 'u', { cursor: '' })
    await client.nextOf('connected')
    expect((await client.take(3)).map(({ event_type, payload }) => [event_type, payload])).toEqual([
      ['e', 'first 1'],
      ['f', 'second 1'],
      ['e', 'third 1'],
    ])
  })

  test('keeps the digits and escapes of template and variables', async () => {
    await using app = await startTestApp()
    using client = await rawOf(app, 'u')
    await app.post(
      AT,
      '{"id":"t","name":"n","event_type":"e","payload_template":{"2":1.10,"1":"\\ud800{{a}}","v":"{{{b}}}"}}',
    )
    await app.post(
      `${SENDS}/send`,
      '{"target_user_id":"u","template_id":"t","variables":{"a":12345678901234567890,"b":{"z":1e400,"1":-0}}}',
    )
    expect(await nextText(client)).toContain(
      '"payload":{"2":1.10,"1":"\\ud80012345678901234567890","v":{"z":1e400,"1":-0}},"metadata"',
    )
  })
})

test('a variable whose value contains `{{other}}` is not expanded in texts, keys or values, by any kind of send', async () => {
  await using app = await startTestApp()
  using client = await listen(app)
  await create(app, 't', {
    payload_template: { '{{a}}': '{{a}} {{{a}}}', v: '{{{a}}}', o: '{{{c}}}', last: '{{b}}' },
  })
  const said = {
    template_id: 't',
    variables: { a: '{{b}}', b: '{{{a}}}', c: ['{{a}}', { '{{b}}': '{{{b}}}' }] },
  }
  await app.post(`${SENDS}/send`, { target_user_id: 'u', ...said })
  await app.post(`${SENDS}/batch`, { notifications: [{ ...ITEM['/send'], ...said }] })
  for (const { payload } of await client.take(2))
    expect(payload).toEqual({
      '{{b}}': '{{b}} {{{b}}}',
      v: '{{b}}',
      o: ['{{a}}', { '{{b}}': '{{{b}}}' }],
      last: '{{{a}}}',
    })
})

describe('a batch with templates', () => {
  const item = (user: string, more: object) => ({ target: { type: 'user', value: user }, ...more })
  const post = (app: TestApp, notifications: readonly object[], options: object = {}) =>
    app.post(`${SENDS}/batch`, { notifications, options })
  const statusesOf = ({ json }: { json: Message }): string[] =>
    json.results.map((each: Message) => each.status ?? each.code ?? (each.success ? 'duplicate' : 'stopped'))

  test('gets the documented answer: sent, duplicate, unknown template, queued', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 't')
    using _ = await socketOf(app, 'here')
    const answer = await post(
      app,
      [
        item('here', { template_id: 't', variables: { a: 1 } }),
        item('here', { template_id: 't', variables: { a: 2 } }),
        item('here', { template_id: 'none' }),
        item('away', { template_id: 't' }),
      ],
      { deduplicate: true },
    )
    expect(statusesOf(answer)).toEqual(['delivered', 'duplicate', 'VALIDATION_ERROR', 'queued'])
    expect(answer.json.summary).toEqual({
      total: 4,
      succeeded: 2,
      failed: 1,
      skipped: 1,
      total_delivered: 1,
      total_queued: 1,
    })
  })

  test('finds duplicates by the event type of the template', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 'one', { event_type: 'e' })
    await create(app, 'two', { event_type: 'e' })
    await create(app, 'other', { event_type: 'f' })
    const answer = await post(
      app,
      [
        item('u', { template_id: 'one' }),
        item('u', { template_id: 'two' }),
        item('u', { event_type: 'e', payload: 1 }),
        item('u', { template_id: 'other' }),
        item('u', { event_type: 'f', payload: 1 }),
        item('u', { template_id: 'other', event_type: 'g' }),
        item('u', { event_type: 'g', payload: 1 }),
        item('u', { template_id: 'none', event_type: 'h', payload: 1 }),
        item('u', { template_id: 'none', event_type: 'h', payload: 1 }),
        item('u', { event_type: 'h', payload: 1 }),
      ],
      { deduplicate: true },
    )
    expect(statusesOf(answer)).toEqual([
      'queued',
      'duplicate',
      'duplicate',
      'queued',
      'duplicate',
      'duplicate',
      'queued',
      'VALIDATION_ERROR',
      'VALIDATION_ERROR',
      'queued',
    ])
  })

  test('stops after an item whose template fails', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 't', { strict: true })
    const answer = await post(
      app,
      [
        item('u', { template_id: 't', variables: { a: 1 } }),
        item('u', { template_id: 't' }),
        item('u', { event_type: 'e', payload: 1 }),
      ],
      { stop_on_error: true },
    )
    expect(statusesOf(answer)).toEqual(['queued', 'VALIDATION_ERROR', 'stopped'])
  })

  test('takes effect in the order of its items, however slow the template look-ups', async () => {
    const wrapStore = (store: Store): Store => ({
      ...store,
      templates: {
        ...store.templates,
        get: async (tenant, id) => {
          await Bun.sleep(id === 'slow' ? 20 : 1)
          return store.templates.get(tenant, id)
        },
      },
    })
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' }, { wrapStore })
    await create(app, 'slow')
    await create(app, 'fast')
    using client = await socketOf(app, 'u', { cursor: '' })
    await client.nextOf('connected')
    const answer = await post(
      app,
      Array.from({ length: 99 }, (_, n) => ({
        target: n % 2 === 0 ? { type: 'user', value: 'u' } : { type: 'broadcast' },
        ...[
          { template_id: 'slow', variables: { a: n } },
          { event_type: 'e', payload: `${n}` },
          { template_id: 'fast', variables: { a: n } },
        ][n % 3],
      })),
    )
    expect(answer.json.summary.succeeded).toBe(99)
    expect((await client.take(99)).map(({ payload }) => payload)).toEqual(
      Array.from({ length: 99 }, (_, n) => `${n}`),
    )
  })

  test('does not measure a payload that is not sent', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    await create(app, 't')
    const answer = await post(app, [
      item('u', { template_id: 't', payload: 'x'.repeat(70_000), event_type: 'e' }),
    ])
    expect(statusesOf(answer)).toEqual(['queued'])
  })
})

describe('during an outage of the store', () => {
  const away = async (): Promise<never> => {
    throw new StoreAway('away')
  }
  const wrapStore = (store: Store): Store => ({
    ...store,
    templates: { create: away, get: away, list: away, update: away, delete: away },
  })

  test('every request about templates is 503, and so is every send with a template', async () => {
    await using app = await startTestApp({}, { wrapStore })
    using client = await listen(app)
    const answers = [
      await create(app, 't'),
      await app.get(AT),
      await app.get(`${AT}/t`),
      await call(app, 'PUT', `${AT}/t`, '{}'),
      await call(app, 'DELETE', `${AT}/t`),
      ...(await Promise.all(
        Object.entries(TO_U).map(([path, target]) => app.post(SENDS + path, { ...target, template_id: 't' })),
      )),
      await app.post(`${SENDS}/batch`, {
        notifications: Object.values(ITEM).map(each => ({ ...each, template_id: 't' })),
      }),
    ]
    for (const answer of answers)
      expect([codeOf(answer), answer.headers.get('retry-after')]).toEqual(['503 STORE_UNAVAILABLE', '1'])
    expect(await settle(client)).toEqual([])
    expect(app.lines.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('batch items without a template are sent', async () => {
    await using app = await startTestApp({}, { wrapStore })
    using client = await listen(app)
    const { json } = await app.post(`${SENDS}/batch`, {
      notifications: [
        { ...ITEM['/send'], template_id: 't' },
        { ...ITEM['/send'], event_type: 'e', payload: 1 },
      ],
    })
    expect(json.results.map((each: Message) => each.code ?? each.status)).toEqual([
      'STORE_UNAVAILABLE',
      'delivered',
    ])
    expect(await settle(client)).toHaveLength(1)
  })
})

test('no answer and no log line repeats a template or a variable', async () => {
  await using app = await startTestApp()
  const secret = 'ZZECHOZZ'
  await create(app, 't', { payload_template: `{{a}}${'{{b}}'.repeat(1_000)}` })
  const requests = [
    create(app, secret, { id: `${secret} ` }),
    create(app, 'x', {
      name: secret.repeat(100),
      description: secret,
      payload_template: secret,
      default_ttl: -1,
    }),
    create(app, 'x', { default_priority: secret }),
    call(app, 'PUT', `${AT}/t`, { event_type: `${secret}\n`, payload_template: secret }),
    call(app, 'GET', `${AT}/${secret}`),
    app.post(`${SENDS}/broadcast`, { template_id: secret }),
    app.post(`${SENDS}/broadcast`, { template_id: 't', variables: secret }),
    app.post(`${SENDS}/broadcast`, { template_id: 't', variables: { b: secret }, strict: true }),
    app.post(`${SENDS}/broadcast`, { template_id: 't', variables: { b: secret.repeat(1_000) } }),
  ]
  for (const { status, text } of await Promise.all(requests)) {
    expect(status).toBeGreaterThanOrEqual(400)
    expect(text).not.toContain(secret)
  }
  expect(JSON.stringify(app.lines)).not.toContain(secret)
})
