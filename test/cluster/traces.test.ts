import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { startRedis } from '../support/redis.ts'
import { told, tracesOf } from '../support/traced.ts'
import { eventually, publish, send, socketOf } from '../support/visit.ts'

test('the wait for the answers of other nodes is a span of the dispatch', async () => {
  await using redis = await startRedis()
  const env = { STORE_URL: redis.url, BUS_URL: redis.url, QUEUE_ENABLED: 'true' }
  await using other = await startTestApp(env)
  const spans = await tracesOf(async app => {
    await eventually(async () => (await app.get('/health/ready')).status === 200)
    using client = await socketOf(other, 'u', { cursor: '' })
    client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
    await client.nextOf('subscribed')
    await send(app, 'u', 1)
    await send(app, 'away', 1)
    await publish(app, 'c', 2)
    await client.take(2)
  }, env)
  const dispatches = spans.filter(({ name }) => name === 'dispatch')
  const published = spans.filter(({ name }) => name === 'bus.publish')
  const ofOne = {
    name: 'bus.publish',
    kind: 'producer' as const,
    failed: false,
    attributes: { 'ara.nodes': 1, 'ara.answers': 1 },
  }
  expect(published.map(told)).toEqual([ofOne, ofOne])
  expect(published.map(({ parentId }) => parentId)).toEqual([
    dispatches[0]?.spanId ?? '',
    dispatches[2]?.spanId ?? '',
  ])
}, 20_000)
