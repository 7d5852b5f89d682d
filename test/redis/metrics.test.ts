import { expect, test } from 'bun:test'
import { createTestClock } from '../support/clock.ts'
import { changesBy, scrape } from '../support/metrics.ts'
import { startRedis } from '../support/redis.ts'
import { startHearing, subscribed, untilRedisIs, verdictOf } from '../support/trigger.ts'

test('received messages are counted, and rejected ones by reason', async () => {
  await using redis = await startRedis()
  const clock = createTestClock()
  await using app = await startHearing(redis, {}, { clock })
  clock.jump(1_000)
  using client = await subscribed(app, 'u')
  const good = { type: 'user', target: 'u', event: { event_type: 'e', payload: 1 } }
  expect(
    await changesBy(app, async () => {
      await redis.publish('notification:user:u', good)
      await client.next()
    }),
  ).toEqual({
    ara_redis_messages_received_total: 1,
    'ara_messages_sent_total{target="user"}': 1,
    ara_messages_delivered_total: 1,
    ara_message_delivery_latency_seconds_count: 1,
  })
  expect((await scrape(app)).value('ara_message_delivery_latency_seconds_sum')).toBeWithin(0, 100)
  expect(await changesBy(app, () => verdictOf(app, redis, '{'))).toEqual({
    ara_redis_messages_received_total: 1,
    'ara_redis_messages_rejected_total{reason="invalid_json"}': 1,
  })
  expect(await changesBy(app, () => verdictOf(app, redis, { ...good, type: 'nobody' }))).toEqual({
    ara_redis_messages_received_total: 1,
    'ara_redis_messages_rejected_total{reason="unknown_type"}': 1,
  })
})

test('metrics show the connection, its breaker and the number of reconnects', async () => {
  await using redis = await startRedis()
  await using app = await startHearing(redis, { REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD: '1' })
  const told = async () => {
    const { value } = await scrape(app)
    return [
      value('ara_redis_connection_status'),
      value('ara_redis_circuit_breaker_state'),
      value('ara_redis_reconnections_total'),
    ]
  }
  expect(await told()).toEqual([1, 0, 0])
  await redis.kill()
  await untilRedisIs(app, ({ status }) => status === 'circuit_open')
  expect(await told()).toEqual([0, 1, 0])
  await redis.restart()
  await untilRedisIs(app, ({ connected }) => connected)
  const [up, , times] = await told()
  expect([up, times]).toEqual([1, 1])
}, 30_000)
