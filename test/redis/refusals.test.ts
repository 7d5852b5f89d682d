import { expect, test } from 'bun:test'
import { AppError, type HttpErrorCode } from '../../src/errors.ts'
import { scrape } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { trySend } from '../support/stored.ts'
import { startHearing } from '../support/trigger.ts'
import { eventually } from '../support/visit.ts'

const CHANNEL = 'notification:user:u'
const ENV = { QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' }
const EVENT = { event_type: 'e', payload: 'x'.repeat(1_000) }
const KINDS = [
  { type: 'user', target: 'u' },
  { type: 'users', target: ['u', 'v'] },
  { type: 'user', target: 'u', idempotency_key: 'k' },
]

test('a message that finds the store full is rejected with reason store, and its key stays free', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { ...ENV, TENANT_MAX_STORED_BYTES: '20000' })
  const acme = { 'x-tenant-id': 'acme' }
  for (let n = 0; (await trySend(app, [`u${n}`], n, acme)).status === 200; n++);

  const { redisMessagesRejected: rejected } = app.app.stats
  for (const [at, kind] of KINDS.entries()) {
    await redis.publish(CHANNEL, { ...kind, tenant_id: 'acme', event: EVENT })
    await eventually(() => rejected.store === at + 1)
  }
  // Nothing was stored under the key: another message may use it.
  await redis.publish(CHANNEL, { ...KINDS.at(-1), tenant_id: 'acme', event: { ...EVENT, event_type: 'f' } })
  await eventually(() => rejected.store === KINDS.length + 1)
  expect(rejected.invalid_shape).toBe(0)

  expect(app.lines.filter(({ level }) => level === 'error')).toEqual([])
  const told = app.lines.filter(({ event }) => event === 'redis.rejected')
  expect(told).toHaveLength(KINDS.length + 1)
  for (const line of told)
    expect(line).toMatchObject({ level: 'warn', reason: 'store', code: 'STORE_FULL', channel: CHANNEL })
  expect((await scrape(app)).value('ara_unhandled_errors_total')).toBe(0)
  const listed = await app.get('/api/v1/users/u/notifications', acme)
  expect(listed.json.notifications).toEqual([])
})

const REASONS = [
  ['STORE_FULL', 'store'],
  ['STORE_UNAVAILABLE', 'store'],
  ['PAYLOAD_TOO_LARGE', 'too_large'],
  ['SUBSTITUTION_FAILED', 'too_large'],
  ['TEMPLATE_NOT_FOUND', 'unknown_template'],
  ['VALIDATION_ERROR', 'invalid_shape'],
  ['IDEMPOTENCY_KEY_REUSED', 'invalid_shape'],
] as const satisfies readonly (readonly [HttpErrorCode, string])[]

test('each refusal of a dispatch has a reason, whether the message had to wait or not', async () => {
  await using redis = await startRedis()
  let code: HttpErrorCode = 'STORE_FULL'
  const refuse = () => Promise.reject(new AppError(code))
  await using app = await startHearing(redis, ENV, {
    wrapStore: store => ({
      ...store,
      log: { ...store.log, append: refuse },
      templates: { ...store.templates, get: refuse },
    }),
  })
  const events = [EVENT, { template_id: 't', variables: {} }]
  for (const [next, reason] of REASONS) {
    code = next
    for (const event of events) {
      const before = app.app.stats.redisMessagesRejected[reason]
      await redis.publish(CHANNEL, { type: 'user', target: 'u', event })
      await eventually(() => app.app.stats.redisMessagesRejected[reason] === before + 1)
    }
  }
  expect(app.app.stats.unhandledErrors).toBe(0)
})
