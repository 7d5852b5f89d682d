import { afterAll, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { TestApp } from '../support/app.ts'
import { startRedis } from '../support/redis.ts'
import { only, told, tracesOf } from '../support/traced.ts'
import { untilRedisIs, verdictOf } from '../support/trigger.ts'
import { eventually, send, socketOf } from '../support/visit.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())

const CHANNEL = 'notification:user:any'
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`

type Options = Parameters<typeof tracesOf>[2]

const tracesOfMessages = (visit: (app: TestApp) => Promise<unknown>, options: Options = {}) =>
  tracesOf(
    async app => {
      await untilRedisIs(app, ({ connected }) => connected)
      await visit(app)
    },
    { REDIS_URL: `redis://127.0.0.1:${redis.port}`, QUEUE_ENABLED: 'true' },
    options,
  )

const message = (more: object = {}) => ({
  type: 'user',
  target: 'u',
  event: { event_type: 'e', payload: 'the-payload-61' },
  ...more,
})

test('a message is a span, with the parent it names, and its dispatch is a child span', async () => {
  const spans = await tracesOfMessages(async app => {
    using client = await socketOf(app, 'u')
    await redis.publish(CHANNEL, message({ traceparent: TRACEPARENT, tracestate: 'acme=7' }))
    await client.next()
  })
  const heard = only(spans, 'redis.message')
  expect(told(heard)).toEqual({
    name: 'redis.message',
    kind: 'consumer',
    failed: false,
    attributes: { 'messaging.system': 'redis', 'ara.channel': CHANNEL, 'ara.outcome': 'accepted' },
  })
  expect([heard.traceId, heard.parentId, heard.traceState]).toEqual([TRACE, SPAN, 'acme=7'])
  const dispatch = only(spans, 'dispatch')
  expect([dispatch.traceId, dispatch.parentId]).toEqual([TRACE, heard.spanId])
  expect(only(spans, 'store.append').parentId).toBe(dispatch.spanId)
})

for (const odd of [{}, { traceparent: null }, { traceparent: 'no such trace' }, { tracestate: 'acme=7' }])
  test(`a message with ${JSON.stringify(odd)} begins a trace`, async () => {
    const spans = await tracesOfMessages(async app => {
      using client = await socketOf(app, 'u')
      await redis.publish(CHANNEL, message(odd))
      await client.next()
    })
    expect(only(spans, 'redis.message')).toMatchObject({ parentId: '', traceState: '' })
  })

test('a message whose template is found later is one span too', async () => {
  const spans = await tracesOfMessages(async app => {
    const template = { id: 't', name: 'n', event_type: 'of.template', payload_template: 1 }
    await app.post('/api/v1/templates', template)
    using client = await socketOf(app, 'u')
    await redis.publish(CHANNEL, message({ event: { template_id: 't' }, traceparent: TRACEPARENT }))
    await client.next()
  })
  const heard = only(spans, 'redis.message')
  expect([heard.parentId, heard.attributes['ara.outcome']]).toEqual([SPAN, 'accepted'])
  expect(only(spans, 'dispatch').parentId).toBe(heard.spanId)
})

test('a message with a known key is a span without a dispatch', async () => {
  const spans = await tracesOfMessages(async app => {
    using client = await socketOf(app, 'u')
    const keyed = message({ idempotency_key: 'k-1', traceparent: TRACEPARENT })
    for (const each of [keyed, keyed, message()]) await redis.publish(CHANNEL, each)
    await client.take(2)
  })
  const heard = spans.filter(({ name }) => name === 'redis.message')
  expect(heard.map(({ failed, attributes }) => [failed, attributes['ara.outcome']]).sort()).toEqual([
    [false, 'accepted'],
    [false, 'accepted'],
    [false, 'replayed'],
  ])
  expect(spans.filter(({ name }) => name === 'dispatch')).toHaveLength(2)
})

test('the span and the log line of a rejected message name the reason, and the line has the trace', async () => {
  const rows = [
    ['{', 'invalid_json', undefined],
    [message({ type: 'x', traceparent: TRACEPARENT }), 'unknown_type', TRACE],
    [message({ event: { template_id: 'none' }, traceparent: TRACEPARENT }), 'unknown_template', TRACE],
  ] as const
  const spans = await tracesOfMessages(async app => {
    for (const [text, reason] of rows) expect(await verdictOf(app, redis, text)).toBe(reason)
    const lines = app.lines.filter(({ event }) => event === 'redis.rejected')
    expect(lines.map(({ reason }) => reason)).toEqual(rows.map(([, reason]) => reason))
    for (const [n, [, , trace]] of rows.entries())
      if (trace !== undefined) expect(lines[n]).toMatchObject({ trace_id: trace })
  })
  expect(
    spans
      .filter(({ name }) => name === 'redis.message')
      .map(({ parentId, failed, attributes }) => [parentId, failed, attributes['ara.outcome']]),
  ).toEqual([
    ['', true, 'invalid_json'],
    [SPAN, true, 'unknown_type'],
    [SPAN, true, 'unknown_template'],
  ])
})

test('the span of a message names the failure when the store refuses it or breaks its contract', async () => {
  for (const [rejects, outcome] of [
    [true, 'store'],
    [false, 'fault'],
  ] as const) {
    const spans = await tracesOfMessages(
      async app => {
        await redis.publish(CHANNEL, message())
        const reported = ['redis.rejected', 'redis.fault']
        const line = () => app.lines.find(({ event }) => reported.includes(String(event)))
        await eventually(() => line() !== undefined)
        expect(line()?.['trace_id']).toMatch(/^[0-9a-f]{32}$/)
      },
      {
        wrapStore: store => ({
          ...store,
          log: {
            ...store.log,
            // Fewer answers than entries: a store that breaks its contract.
            append: () => (rejects ? Promise.reject(new StoreAway('gone')) : Promise.resolve([])),
          },
        }),
      },
    )
    expect(told(only(spans, 'redis.message'))).toMatchObject({
      failed: true,
      attributes: { 'ara.outcome': outcome },
    })
    expect(only(spans, 'dispatch').failed).toBe(true)
  }
})

test('the span of a replay links to the message that brought the notification', async () => {
  const spans = await tracesOfMessages(async app => {
    await redis.publish(CHANNEL, message({ traceparent: TRACEPARENT }))
    await eventually(async () => (await app.get('/health')).json.queue.total_messages === 1)
    await send(app, 'u', 2)
    using client = await socketOf(app, 'u', { cursor: '' })
    await client.take(3)
  })
  const [first = '', ...others] = only(spans, 'replay').links
  expect(first).toStartWith(`${TRACE}:`)
  expect(others).toHaveLength(1)
})
