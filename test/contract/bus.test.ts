import { afterAll, expect, test } from 'bun:test'
import { noBus } from '../../src/bus/none.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { busNode } from '../support/bus-node.ts'
import { createMemoryBusNetwork } from '../support/memory-bus.ts'
import { startRedis } from '../support/redis.ts'
import { startNode } from '../support/redis-bus.ts'
import { busContract } from './bus.contract.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())

busContract('Redis', () => startNode(redis))

const network = createMemoryBusNetwork()
let connected = 0
busContract('simulated', async () => busNode(network.connect(`n${connected++}`)))

test('a node without a bus is up and reaches no other node', async () => {
  await using node = busNode(noBus())
  const topic = channelTopic('default', 'orders')
  expect(node.bus.join(topic)).toBeUndefined()
  expect(await node.bus.publish(topic, 'x')).toBe(0)
  expect(await node.bus.publishToOthers(topic, 'x')).toBe(0)
  node.bus.leave(topic)
  await node.bus.evict('1')
  expect([node.bus.kind, node.bus.isUp(), node.bus.subscriber]).toEqual(['none', true, undefined])
  expect(node.inbox.all).toEqual([])
})
