import { expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { createTestClock } from '../support/clock.ts'
import { startRedis } from '../support/redis.ts'
import { startHearing, subscribed } from '../support/trigger.ts'
import { eventually } from '../support/visit.ts'

const message = (payload: number, more: object = {}) => ({
  type: 'user',
  target: 'ann',
  event: { event_type: 'e', payload },
  ...more,
})
const CHANNEL = 'notification:user:ann'

test('a message with a known key has no effect and delays no other message; its first copy is delivered in order', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { QUEUE_ENABLED: 'true' })
  using ann = await subscribed(app, 'ann')
  for (let n = 0; n < 3; n++) await redis.publish(CHANNEL, message(1, { idempotency_key: 'k' }))
  await redis.publish(CHANNEL, message(2))
  await redis.publish(CHANNEL, message(3, { idempotency_key: 'l' }))
  await redis.publish(CHANNEL, message(4))
  const messages = await ann.take(4)
  expect(messages.map(({ payload }) => payload)).toEqual([1, 2, 3, 4])
  await redis.publish(CHANNEL, message(1, { idempotency_key: 'k' }))
  await redis.publish(CHANNEL, message(5))
  expect((await ann.next()).payload).toBe(5)
  expect(app.app.stats.redisMessagesRejected.invalid_shape).toBe(0)
})

test('a key stands beside the event: a key inside the event is ignored', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { QUEUE_ENABLED: 'true' })
  using ann = await subscribed(app, 'ann')
  for (const idempotency_key of ['k', 'k', 'no key', 7])
    await redis.publish(CHANNEL, { ...message(1), event: { event_type: 'e', payload: 1, idempotency_key } })
  await redis.publish(CHANNEL, message(2))
  expect((await ann.take(5)).map(({ payload }) => payload)).toEqual([1, 1, 1, 1, 2])
  expect(app.app.stats.idempotency.new).toBe(0)
})

test('an unexpected error leaves no key reserved', async () => {
  await using redis = await startRedis()
  let isBroken = true
  await using app = await startHearing(
    redis,
    { QUEUE_ENABLED: 'true' },
    {
      wrapStore: store => ({
        ...store,
        templates: {
          ...store.templates,
          get: (...asked) => {
            if (isBroken) throw new Error('odd')
            return store.templates.get(...asked)
          },
        },
      }),
    },
  )
  await app.post('/api/v1/templates', { id: 't', name: 'T', event_type: 'e', payload_template: 1 })
  using ann = await subscribed(app, 'ann')
  const templated = { ...message(1, { idempotency_key: 'k' }), event: { template_id: 't' } }
  await redis.publish(CHANNEL, templated)
  await eventually(() => app.app.stats.unhandledErrors === 1)
  isBroken = false
  await redis.publish(CHANNEL, templated)
  expect((await ann.next()).payload).toBe(1)
})

test('a message repeated after an unknown outcome completes the first one, with its time', async () => {
  await using redis = await startRedis()
  const clock = createTestClock()
  let isDown = true
  await using app = await startHearing(
    redis,
    { QUEUE_ENABLED: 'true' },
    {
      clock,
      wrapStore: store => ({
        ...store,
        log: {
          ...store.log,
          append: async drafts => {
            const appended = await store.log.append(drafts)
            if (isDown) throw new StoreAway('the answer was lost')
            return appended
          },
        },
      }),
    },
  )
  const lasting = message(1, { idempotency_key: 'k' })
  const brief = { ...message(2, { idempotency_key: 'l' }), event: { event_type: 'e', payload: 2, ttl: 10 } }
  for (const each of [lasting, brief]) await redis.publish(CHANNEL, each)
  await eventually(() => app.app.stats.redisMessagesRejected.store === 2)
  isDown = false
  clock.jump(11)
  for (const each of [lasting, brief, message(3)]) await redis.publish(CHANNEL, each)
  const listed = async () =>
    (await app.get('/api/v1/users/ann/notifications')).json.notifications.map(
      ({ payload }: { payload: number }) => payload,
    )
  await eventually(async () => (await listed()).includes(3))
  expect(await listed()).toEqual([1, 3])
})

test('a message with the key of another message is rejected and changes nothing', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { QUEUE_ENABLED: 'true' })
  await redis.publish(CHANNEL, message(1, { idempotency_key: 'k' }))
  await redis.publish(CHANNEL, message(2, { idempotency_key: 'k' }))
  await eventually(async () => app.app.stats.redisMessagesRejected.invalid_shape === 1)
  expect(app.lines.find(({ event }) => event === 'redis.rejected')).toMatchObject({
    fault: { path: 'idempotency_key' },
  })
  expect((await app.get('/api/v1/users/ann/notifications')).json.notifications).toHaveLength(1)
})

test('a message that is rejected, or whose store is away, leaves its key unused', async () => {
  await using redis = await startRedis()
  let isDown = true
  await using app = await startHearing(
    redis,
    { QUEUE_ENABLED: 'true' },
    {
      wrapStore: store => ({
        ...store,
        idempotency: {
          ...store.idempotency,
          reserve: claim =>
            isDown ? Promise.reject(new StoreAway('away')) : store.idempotency.reserve(claim),
        },
      }),
    },
  )
  await redis.publish(CHANNEL, message(1, { idempotency_key: 'k' }))
  await eventually(async () => app.app.stats.redisMessagesRejected.store === 1)
  isDown = false
  await redis.publish(CHANNEL, { ...message(1, { idempotency_key: 'k' }), event: { template_id: 'none' } })
  await eventually(async () => app.app.stats.redisMessagesRejected.unknown_template === 1)
  using ann = await subscribed(app, 'ann')
  await redis.publish(CHANNEL, message(1, { idempotency_key: 'k' }))
  expect((await ann.next()).payload).toBe(1)
})
