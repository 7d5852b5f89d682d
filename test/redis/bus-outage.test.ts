import { describe, expect, test } from 'bun:test'
import type { BusTopic } from '../../src/bus/bus.ts'
import { StoreAway } from '../../src/errors.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { connectNode, type RedisBusNode, startNode } from '../support/redis-bus.ts'
import { MASTER, startSentinel } from '../support/sentinel.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'

const TOPIC: BusTopic = channelTopic('default', 'orders')
const OTHER: BusTopic = channelTopic('default', 'other')
const SEEN_MS = 3_000
const BACK_MS = 10_000
const BACK_FROM_FREEZE_MS = 15_000
const ANSWERED_MS = 1_000
/** Delay that a busy machine may add to a measurement, milliseconds. */
const SLACK_MS = 600

/** Publishes numbers one after another until stopped, and keeps the refusals. */
function startCount(sender: RedisBusNode) {
  const refused: { readonly error: unknown; readonly ms: number }[] = []
  let n = 0
  let isOver = false
  const say = async (): Promise<void> => {
    const elapsed = startStopwatch()
    try {
      await sender.bus.publish(TOPIC, String(n++))
    } catch (error) {
      refused.push({ error, ms: elapsed() })
    }
  }
  const run = async (): Promise<void> => {
    while (!isOver) {
      void say()
      await Bun.sleep(5)
    }
  }
  const running = run()
  return {
    refused,
    /** Publishes the last number; resolves when all calls are answered. */
    stop: async (): Promise<number> => {
      isOver = true
      await running
      await say()
      return n - 1
    },
  }
}

/** Every number at most once and in order, the last one included. */
async function expectOrder(nodes: readonly RedisBusNode[], last: number): Promise<void> {
  for (const node of nodes) {
    await eventually(() => node.on(TOPIC).includes(String(last)))
    const heard = node.on(TOPIC).map(Number)
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b))
  }
}

describe.concurrent('The Redis bus', () => {
  for (const [what, strike, heal, backMs] of [
    ['is killed', (redis: TestRedis) => redis.kill(), (redis: TestRedis) => redis.restart(), BACK_MS],
    [
      'is frozen',
      async (redis: TestRedis) => redis.freeze(),
      async (redis: TestRedis) => redis.thaw(),
      BACK_FROM_FREEZE_MS,
    ],
  ] as const)
    test(`says so within 3 s when Redis ${what}, refuses within a second, and joins everything again`, async () => {
      await using redis = await startRedis()
      await using a = await startNode(redis, TOPIC)
      await using b = await startNode(redis, TOPIC, OTHER)
      const count = startCount(a)
      await b.inbox.take(20)
      await strike(redis)
      const seen = await Promise.all([a.until('away'), b.until('away')])
      for (const ms of seen) expect(ms).toBeLessThan(SEEN_MS + SLACK_MS)
      expect([a.bus.subscriber, b.bus.subscriber]).toEqual([undefined, undefined])
      // Joins while away resolve at once and take effect later.
      const joinedAway = channelTopic('default', 'joined while away')
      expect(b.bus.join(joinedAway)).toBeUndefined()
      await Bun.sleep(1_500)
      const before = count.refused.length
      await heal(redis)
      for (const ms of await Promise.all([a.until('up'), b.until('up')])) expect(ms).toBeLessThan(backMs)
      const last = await count.stop()
      expect(before).toBeGreaterThan(0)
      for (const { error, ms } of count.refused) {
        expect(error).toBeInstanceOf(StoreAway)
        expect(ms).toBeLessThan(SEEN_MS)
      }
      // Pauses of this process are not blamed on Redis, so a busy machine may delay some.
      const waits = count.refused.map(({ ms }) => ms).sort((one, other) => one - other)
      expect(waits[Math.floor(waits.length * 0.9)]).toBeLessThan(ANSWERED_MS + SLACK_MS)
      await expectOrder([a, b], last)
      expect(await a.bus.publish(OTHER, 'x')).toBe(1)
      expect(await a.bus.publish(joinedAway, 'x')).toBe(1)
      await b.inbox.until(({ topic }) => topic === joinedAway)
      expect([a.returns, b.returns]).toEqual([2, 2])
    }, 60_000)

  test('notices a network that swallows everything, in one direction or both, and a cut one at once', async () => {
    await using redis = await startRedis()
    await using line = await startProxy(redis.port)
    await using here = await startNode(redis, TOPIC)
    await using far = await startNode(line, TOPIC)
    const count = startCount(here)
    for (const disturb of [line.freeze, line.mute, line.cut]) {
      const before = far.returns
      disturb()
      expect(await far.until('away')).toBeLessThan(SEEN_MS + SLACK_MS)
      const refused = far.bus.publish(OTHER, 'x')
      await expect(refused).rejects.toBeInstanceOf(StoreAway)
      line.thaw()
      await eventually(() => far.returns > before && far.bus.isUp(), BACK_FROM_FREEZE_MS)
      expect(await here.bus.publish(TOPIC, 'all')).toBe(2)
      await far.inbox.until(({ message }) => message === 'all')
    }
    const last = await count.stop()
    expect(count.refused).toEqual([])
    await eventually(() => far.on(TOPIC).includes(String(last)))
    const heard = far
      .on(TOPIC)
      .filter(text => text !== 'all')
      .map(Number)
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b))
    expect(here.returns).toBe(1)
  }, 60_000)

  test('is lost and back when a slow node exceeds the output buffer of Redis', async () => {
    await using redis = await startRedis('--client-output-buffer-limit', 'pubsub 256kb 0 0')
    await using line = await startProxy(redis.port)
    await using here = await startNode(redis)
    await using far = await startNode(line, TOPIC)
    line.mute()
    const text = 'x'.repeat(100_000)
    // The kernel buffers some of it before Redis has to.
    await eventually(async () => (await here.bus.publish(TOPIC, text)) === 0)
    line.thaw()
    await eventually(() => far.returns === 2 && far.bus.isUp())
    expect(await here.bus.publish(TOPIC, 'small')).toBe(1)
    await far.inbox.until(({ message }) => message === 'small')
  }, 30_000)

  for (const [what, strike] of [
    ['died', (redis: TestRedis) => redis.kill()],
    ['was frozen', async (redis: TestRedis) => redis.freeze()],
  ] as const)
    test(`follows the Sentinels to another master when the first one ${what}`, async () => {
      await using first = await startRedis()
      await using second = await startRedis('--replicaof', '127.0.0.1', String(first.port))
      await using sentinel = await startSentinel(first)
      const asker = sentinel.client()
      const replicas = async () => (await asker.call('SENTINEL', 'replicas', MASTER)) as unknown[]
      await eventually(async () => (await replicas()).length === 1)
      const address = {
        hosts: [
          { host: '127.0.0.1', port: 1 },
          { host: '127.0.0.1', port: sentinel.port },
        ],
        master: MASTER,
      } as const
      await using a = connectNode(address)
      await using b = connectNode(address)
      await Promise.all([a.until('up'), b.until('up')])
      for (const { bus } of [a, b]) await bus.join(TOPIC)
      const count = startCount(a)
      await b.inbox.take(10)
      const elapsed = startStopwatch()
      await strike(first)
      await Promise.all([a.until('away'), b.until('away')])
      await Promise.all([a.until('up'), b.until('up')])
      expect(elapsed()).toBeLessThan(BACK_FROM_FREEZE_MS)
      const last = await count.stop()
      await expectOrder([a, b], last)
      expect(await a.bus.publish(TOPIC, 'x')).toBe(2)
      const port = second.port
      await using onSecond = await startNode({ port })
      expect(await onSecond.bus.publish(TOPIC, 'x')).toBe(2)
      first.thaw()
    }, 60_000)
})

// Alone: so many calls delay everything else in this process.
test('The Redis bus refuses at once what exceeds its bound while Redis does not answer', async () => {
  await using redis = await startRedis()
  await using node = await startNode(redis)
  redis.freeze()
  const results = await Promise.allSettled(Array.from({ length: 55_000 }, () => node.bus.publish(TOPIC, 'x')))
  const reasons = Map.groupBy(results, each =>
    each.status === 'rejected' ? String(each.reason.message) : '',
  )
  const refused = [...reasons].map(([reason, all]) => [reason, all.length])
  expect(refused).toContainEqual(['the bus is overloaded: too many messages wait for it', 5_000])
  expect(refused).toContainEqual(['the bus took too long', 50_000])
  redis.thaw()
}, 20_000)
