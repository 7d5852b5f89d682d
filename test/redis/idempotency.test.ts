import { expect, test } from 'bun:test'
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

test('A message with a known key has no effect, keeps nobody waiting, and comes in its place the first time', async () => {
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

test('the key of another message is rejected, and changes nothing', async () => {
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

test('a message whose key finds no store, or that was rejected, leaves its key free', async () => {
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
          reserve: claim => (isDown ? Promise.reject(new Error('away')) : store.idempotency.reserve(claim)),
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
