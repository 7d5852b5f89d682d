import { describe, expect, test } from 'bun:test'
import { Parser } from '@asyncapi/parser'
import { startTestApp, type TestApp } from '../support/app.ts'
import { asyncApi, asyncApiDocument } from '../support/asyncapi.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { masked } from '../support/masked.ts'
import { checksOf, type Json, resolve } from '../support/openapi.ts'
import { faultOfTold } from '../support/told.ts'
import { broadcast, eventually, send, socketOf, streamOf } from '../support/visit.ts'

const document: Json = asyncApi()
/** Time for the parser on a busy machine. */
const PARSE_MS = 60_000
const ENV = { ACK_ENABLED: 'true', QUEUE_ENABLED: 'true', WEBSOCKET_HEARTBEAT_INTERVAL: '1' }
const INVOICE = { event_type: 'invoice.paid', priority: 'High', ttl: 600, correlation_id: 'c-1' }

/** Messages of a channel, by their names there. */
const messagesOf = (channel: string): readonly (readonly [type: string, message: Json])[] =>
  Object.entries<Json>(document.channels[channel].messages).map(([type, message]) => [
    type,
    resolve(document, message),
  ])

const exampleOf = (channel: 'ws' | 'sse', type: string, name: string): Json =>
  resolve(document, document.channels[channel].messages[type]).examples.find(
    (each: Json) => each.name === name,
  )?.payload

describe('the document', () => {
  test(
    'is valid AsyncAPI 3.1',
    async () => {
      const { document: parsed, diagnostics } = await new Parser().parse(asyncApiDocument())
      expect(diagnostics).toEqual([])
      expect(parsed?.version()).toBe('3.1.0')
    },
    PARSE_MS,
  )

  test(
    'is invalid with a dangling reference',
    async () => {
      const broken = asyncApiDocument().replace('#/components/messages/pong', '#/components/messages/none')
      const { document: parsed, diagnostics } = await new Parser().parse(broken)
      expect(parsed).toBeUndefined()
      expect(diagnostics.length).toBeGreaterThan(0)
    },
    PARSE_MS,
  )

  test('has examples of every message, each valid for its schema', () => {
    const check = checksOf(document, { isClosed: true })
    for (const [type, { payload, examples }] of [...messagesOf('ws'), ...messagesOf('sse')]) {
      expect([type, examples.length > 0]).toEqual([type, true])
      for (const example of examples)
        expect([type, check(resolve(document, payload), example.payload)]).toEqual([type, undefined])
    }
  })
})

describe('a message to a client is a fault', () => {
  for (const [what, message] of [
    ['a message', { type: 'hello' }],
    ['a message of clients', { type: 'Ping' }],
    ['a key', { type: 'pong', more: 1 }],
    ['a code', { type: 'error', code: 'NOT_FOUND', message: '' }],
    ['a missing key', { type: 'subscribed' }],
  ] as const)
    test(`when the document does not describe ${what}`, () => {
      expect(faultOfTold('ws', message)).toBeString()
      expect(faultOfTold('ws', { type: 'pong' })).toBeUndefined()
    })
})

describe('the server answers each example of a client message as documented', () => {
  for (const [name, operation] of Object.entries<Json>(document.operations)) {
    if (operation.action !== 'receive') continue
    const [message] = operation.messages.map((each: Json) => resolve(document, resolve(document, each)))
    for (const { name: example, payload } of message.examples)
      test(`${name}: ${example}`, async () => {
        await using app = await startTestApp(ENV)
        using client = await socketOf(app, 'u-7')
        const { notification_id: id } = await send(app, 'u-7', { no: 42, ok: true }, INVOICE)
        const { cursor } = await client.nextOf('notification')
        const text = JSON.stringify(payload)
          .replace(exampleOf('ws', 'notification', 'in the log').id, id)
          .replace('k3f9:12', cursor)
          .replace(exampleOf('ws', 'Auth', 'a token').payload.token, await app.token('u-7'))
        client.sendRaw(text)
        const answers: readonly string[] = operation.reply.messages.map((each: Json) =>
          each.$ref.split('/').at(-1),
        )
        const expected = answers
          .map(type => exampleOf('ws', type, example))
          .filter(each => each !== undefined)
        expect(expected).toHaveLength(1)
        expect(masked(await client.next())).toEqual(masked(expected[0]))
      })
  }
})

/** Makes the service send each unsolicited message. */
const UNASKED: Readonly<Record<string, (app: TestApp) => unknown>> = {
  heartbeat: () => undefined,
  token_expiring: () => undefined,
  'connected: resumed': () => undefined,
  'connected: from another log': () => undefined,
  'notification: in the log': () => undefined,
  'notification: to a role': app =>
    app.post('/api/v1/notifications/broadcast', {
      event_type: 'maintenance',
      payload: null,
      audience: { type: 'Roles', value: ['admin'] },
    }),
  shutdown: app => void app.app.drain(),
  error: app => app.post('/api/v1/users/u-7/disconnect', {}),
}

describe('the server sends each example of an unsolicited message', () => {
  for (const channel of ['ws', 'sse'] as const) {
    const answers = new Set(
      Object.values<Json>(document.operations).flatMap(({ reply }) =>
        (reply?.messages ?? []).map((each: Json) => each.$ref.split('/').at(-1)),
      ),
    )
    const unasked = messagesOf(channel).filter(
      ([type]) => !/^[A-Z]/.test(type) && (channel === 'sse' || !answers.has(type)),
    )
    for (const [type, { examples }] of unasked)
      for (const { name, payload } of examples)
        test(`${channel}: ${type}: ${name}`, async () => {
          await using app = await startTestApp({ ...ENV, DRAIN_SECONDS: '0' })
          await send(app, 'u-7', { no: 42, ok: true }, INVOICE)
          const visit = {
            cursor: name === 'from another log' ? 'k3f9:12' : '',
            claims: {
              roles: ['admin'],
              ...(type === 'token_expiring' && { exp: Math.floor(Date.now() / 1000) + 20 }),
            },
          }
          const open = channel === 'ws' ? socketOf : streamOf
          using client = await open(app, 'u-7', visit)
          const all = () => client.inbox.all.map((each: Json) => (channel === 'ws' ? each : each.data))
          await eventually(() => all().some((each: Json) => each?.type === 'connected'))
          const provoke = UNASKED[`${type}: ${name}`] ?? UNASKED[type]
          if (provoke === undefined) throw new Error(`how does ${type}: ${name} come about?`)
          await provoke(app)
          const isIt = (each: Json) => JSON.stringify(masked(each)) === JSON.stringify(masked(payload))
          await eventually(() => all().some(isIt))
          expect(all().map(masked)).toContainEqual(masked(payload))
        })
  }
})

test('on a stream the event is the type of the message, and the id its cursor', async () => {
  await using app = await startTestApp({ ...ENV, DRAIN_SECONDS: '0' })
  using stream = await streamOf(app, 'u-7')
  await send(app, 'u-7', 1)
  await broadcast(app, 2)
  const drained = awaitedLater(app.app.drain())
  const events = (await stream.take(4)).map(({ event, id, retry, data }) => [
    event === data.type,
    id === data.cursor || event === 'connected',
    retry === undefined || Number(retry) === data.reconnect_after_seconds * 1000,
  ])
  expect(events).toEqual(Array(4).fill([true, true, true]))
  await drained
})
