import { afterAll, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import type { TestApp } from '../support/app.ts'
import { createTestClock } from '../support/clock.ts'
import { startRedis } from '../support/redis.ts'
import { startHearing, subscribed, verdictOf } from '../support/trigger.ts'
import { eventually, rawOf, settle, socketOf } from '../support/visit.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())

const CHANNEL = 'notification:user:any'

async function create(app: TestApp, id: string, more: object = {}, headers = {}): Promise<void> {
  const body = { id, name: 'n', event_type: 'of.template', payload_template: '{{a}}', ...more }
  const { status, text } = await app.post('/api/v1/templates', body, headers)
  if (status !== 201) throw new Error(`${status}: ${text}`)
}

const message = (event: object, more: object = {}) => ({ type: 'user', target: 'u', event, ...more })

/** Finds templates after a delay that is longer for earlier letters of the alphabet. */
const slowTemplates = (store: Store): Store => ({
  ...store,
  templates: {
    ...store.templates,
    get: async (tenant, id) => {
      await Bun.sleep(id === 'a' ? 20 : id === 'b' ? 5 : 0)
      return store.templates.get(tenant, id)
    },
  },
})

test('A message with a template carries the rendered payload, byte for byte as over HTTP', async () => {
  await using app = await startHearing(redis)
  using client = await rawOf(app, 'u-7')
  await create(app, 'inv_paid', {
    event_type: 'invoice.paid',
    payload_template: {
      text: 'No {{no}} for {{who}}',
      n: '{{no}}',
      t: '{{{no}}}',
      '{{k}}': 1,
      keep: '{{absent}}',
      city: '{{to.city}}',
    },
    default_priority: 'Low',
    default_ttl: 60,
  })
  await redis.publish(
    CHANNEL,
    '{"type":"user","target":"u-7","event":{"template_id":"inv_paid","variables":{"no":1.10,"who":null,"k":"extra","to":{"city":"{{no}}"}},"correlation_id":"c-1"}}',
  )
  const { payload } = await client.frames.until(({ opcode }) => opcode === 1)
  expect(payload.toString()).toEndWith(
    '"event_type":"invoice.paid","payload":{"text":"No 1.10 for ","n":"1.10","t":1.10,"extra":1,"keep":"{{absent}}","city":"{{no}}"},"metadata":{"source":"redis:notification:user:any","priority":"Low","ttl":60,"correlation_id":"c-1"}}',
  )
})

test('Every type of message can name a template, and its own priority and ttl take precedence', async () => {
  await using app = await startHearing(redis)
  await create(app, 't', { default_priority: 'Low', default_ttl: 60 })
  using client = await subscribed(app, 'u', 'c')
  const event = { template_id: 't', variables: { a: 1 }, priority: 'High', ttl: 5, event_type: 5 }
  const kinds = [
    { type: 'user', target: 'u' },
    { type: 'users', target: ['u'] },
    { type: 'broadcast', audience: { type: 'Users', value: ['u'] } },
    { type: 'broadcast', audience: { type: 'Users', value: ['other'] } },
    { type: 'channel', target: 'c' },
    { type: 'channels', target: 'c' },
  ]
  for (const kind of kinds) expect(await verdictOf(app, redis, { ...kind, event })).toBeUndefined()
  const heard = await settle(client)
  expect(heard.map(({ payload, event_type }) => [payload, event_type])).toEqual(
    Array.from({ length: 5 }, () => ['1', 'of.template']),
  )
  for (const { metadata } of heard) expect(metadata).toMatchObject({ priority: 'High', ttl: 5 })
})

test('A message whose template cannot be used is rejected, with the reason and the place', async () => {
  const clock = createTestClock()
  await using app = await startHearing(redis, {}, { clock })
  await create(app, 't')
  await create(app, 'strict', { strict: true, payload_template: '{{x}}{{a}}' })
  await create(app, 'huge', { payload_template: '{{a}}'.repeat(1_000) })
  using client = await socketOf(app, 'u')
  const rows: [reason: string, event: object, path?: string][] = [
    ['unknown_template', { template_id: 'none' }, 'event.template_id'],
    ['unknown_template', { template_id: '' }, 'event.template_id'],
    ['unknown_template', { template_id: 'none', event_type: 'e', payload: 1 }, 'event.template_id'],
    ['variables', { template_id: 't', variables: null }, 'event.variables'],
    ['variables', { template_id: 't', variables: [] }, 'event.variables'],
    ['variables', { template_id: 't', variables: 'x' }, 'event.variables'],
    ['variables', { template_id: 't', strict: true }, 'event.variables.a'],
    ['variables', { template_id: 'strict', variables: { a: 1 } }, 'event.variables.x'],
    ['too_large', { template_id: 'huge', variables: { a: 'x'.repeat(60_000) } }, 'event.template_id'],
    ['invalid_shape', { template_id: 't', strict: 'no' }, 'event.strict'],
    ['invalid_shape', { template_id: 't', priority: null }, 'event.priority'],
    ['invalid_shape', { template_id: 't', priority: 'low' }, 'event.priority'],
    ['invalid_shape', { template_id: 't', ttl: 5.5 }, 'event.ttl'],
    ['invalid_shape', { template_id: 5 }, 'event.event_type'],
  ]
  for (const [reason, event, path] of rows) {
    expect([event, await verdictOf(app, redis, message(event))]).toEqual([event, reason as never])
    const line = app.lines.findLast(each => each['event'] === 'redis.rejected')
    expect(line).toMatchObject({ reason, fault: { path } })
    // Only this many lines per second.
    clock.jump(1)
  }
  expect(await verdictOf(app, redis, message({ template_id: 'strict', strict: false }))).toBeUndefined()
  expect((await settle(client)).map(({ payload }) => payload)).toEqual(['{{x}}{{a}}'])
})

test('A message uses the templates of its tenant', async () => {
  await using app = await startHearing(redis, { TENANT_ENABLED: 'true' })
  await create(app, 't', {}, { 'x-tenant-id': 'acme' })
  using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
  const event = { template_id: 't', variables: { a: 'x' } }
  expect(await verdictOf(app, redis, message(event))).toBe('unknown_template')
  expect(await verdictOf(app, redis, message(event, { tenant_id: 'globex' }))).toBe('unknown_template')
  expect(await verdictOf(app, redis, message(event, { tenant_id: 'acme' }))).toBeUndefined()
  expect((await settle(client)).map(({ payload }) => payload)).toEqual(['x'])
})

test('While the store is away, only messages with a template are rejected', async () => {
  const wrapStore = (store: Store): Store => ({
    ...store,
    templates: { ...store.templates, get: () => Promise.reject(new StoreAway('away')) },
  })
  await using app = await startHearing(redis, {}, { wrapStore })
  using client = await socketOf(app, 'u')
  expect(await verdictOf(app, redis, message({ template_id: 't' }))).toBe('store')
  expect(await verdictOf(app, redis, message({ template_id: 't' }, { type: 'broadcast' }))).toBe('store')
  expect(await verdictOf(app, redis, message({ event_type: 'e', payload: 1 }))).toBeUndefined()
  expect((await settle(client)).map(({ payload }) => payload)).toEqual([1])
})

for (const env of [{}, { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '10000' }])
  test(`Messages arrive in order even if some templates are found slowly, with ${JSON.stringify(env)}`, async () => {
    await using app = await startHearing(redis, env, { wrapStore: slowTemplates })
    for (const id of ['a', 'b', 'c']) await create(app, id)
    using client = await subscribed(app, 'u', 'x')
    const targets = [{ type: 'user', target: 'u' }, { type: 'broadcast' }, { type: 'channel', target: 'x' }]
    const contentOf = (n: number) =>
      n % 5 === 4
        ? { event_type: 'e', payload: `${n}` }
        : { template_id: ['a', 'none', 'c', 'b'][n % 5], variables: { a: n } }
    const pipeline = redis.client().pipeline()
    for (let n = 0; n < 500; n++)
      pipeline.publish(CHANNEL, JSON.stringify({ ...targets[n % 3], event: contentOf(n) }))
    await pipeline.exec()
    const meant = Array.from({ length: 500 }, (_, n) => `${n}`).filter(n => Number(n) % 5 !== 1)
    expect((await client.take(meant.length)).map(({ payload }) => payload)).toEqual(meant)
    await eventually(() => app.app.stats.redisMessagesRejected.unknown_template === 100)
  }, 30_000)

test('A drain waits for messages whose templates are being looked up', async () => {
  const found = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const appended: string[] = []
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      append: drafts => {
        appended.push(...drafts.map(({ body }) => body))
        return store.log.append(drafts)
      },
    },
    templates: {
      ...store.templates,
      get: async (tenant, id) => {
        asked.resolve()
        await found.promise
        return store.templates.get(tenant, id)
      },
    },
  })
  await using app = await startHearing(redis, { QUEUE_ENABLED: 'true', DRAIN_SECONDS: '5' }, { wrapStore })
  await create(app, 't')
  await redis.publish(CHANNEL, message({ template_id: 't', variables: { a: 'late' } }))
  await asked.promise
  const drained = app.app.drain()
  found.resolve()
  await drained
  expect(appended).toHaveLength(1)
  expect(appended[0]).toContain('"payload":"late"')
})
