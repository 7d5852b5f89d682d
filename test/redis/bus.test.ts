import { afterAll, describe, expect, test } from 'bun:test'
import type { BusTopic } from '../../src/bus/bus.ts'
import { channelTopic, userTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startRedis } from '../support/redis.ts'
import { connectNode, startNode } from '../support/redis-bus.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually } from '../support/visit.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())
const admin = redis.client()

let used = 0
/** A topic of one test. */
const newTopic = (): BusTopic => channelTopic('default', `c${used++}`)

const subscribersOf = async (topic: BusTopic, db = 0): Promise<number> => {
  const [, count] = (await admin.pubsub('NUMSUB', `ara:bus:${db}:${topic}`)) as [string, number]
  return count
}
const statOf = async (command: string): Promise<string> =>
  new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await admin.info('commandstats'))?.[1] ?? '0'

describe('the Redis bus', () => {
  test('counts nodes, and no pattern subscribers of other programs', async () => {
    const topic = newTopic()
    await using node = await startNode(redis, topic)
    const watcher = redis.client()
    await watcher.psubscribe('ara:bus:*', '*')
    expect(await node.bus.publish(topic, 'x')).toBe(1)
    await watcher.subscribe(`ara:bus:0:${topic}`)
    expect(await node.bus.publish(topic, 'x')).toBe(2)
  })

  test('names channels by database, kind and hash tag of the user', async () => {
    await using node = await startNode({ port: redis.port, db: 3 }, userTopic('acme', 'ann'), newTopic())
    const names = (await admin.pubsub('CHANNELS', 'ara:bus:3:*')) as string[]
    expect(names.sort()).toEqual([
      `ara:bus:3:channel:default:c${used - 1}`,
      `ara:bus:3:pulse:${node.bus.instance}:0`,
      'ara:bus:3:user:{acme:ann}',
    ])
  })

  test('keeps nodes of different databases apart', async () => {
    const topic = newTopic()
    await using zero = await startNode(redis, topic)
    await using one = await startNode({ port: redis.port, db: 1 }, topic)
    expect(await zero.bus.publish(topic, 'from 0')).toBe(1)
    expect(await one.bus.publish(topic, 'from 1')).toBe(1)
    await Promise.all([zero.inbox.next(), one.inbox.next()])
    expect([zero.on(topic), one.on(topic)]).toEqual([['from 0'], ['from 1']])
  })

  test('leaves a topic 2 s after the last leave, and carries messages until then', async () => {
    const topic = newTopic()
    await using node = await startNode(redis, topic)
    const [leftAt, elapsed] = [performance.now(), startStopwatch()]
    node.bus.leave(topic)
    node.bus.leave(topic)
    let carried = 0
    while ((await subscribersOf(topic)) > 0) {
      carried += await node.bus.publish(topic, 'x')
      await Bun.sleep(20)
    }
    expect(performance.now() - leftAt).toBeGreaterThan(1_900)
    expect(elapsed()).toBeLessThan(3_500)
    await node.inbox.take(carried)
    expect(await node.bus.publish(topic, 'x')).toBe(0)
    expect(node.on(topic)).toHaveLength(carried)
  }, 30_000)

  test('carries a message for other nodes while the sender leaves and joins the topic', async () => {
    const topic = newTopic()
    await using a = await startNode(redis, topic)
    await using b = await startNode(redis, topic)
    const sent: string[] = []
    const send = async (): Promise<void> => {
      const counts = Array.from({ length: 10 }, () => {
        const text = String(sent.length)
        sent.push(text)
        return a.bus.publishToOthers(topic, text)
      })
      // The timer that leaves is due before these messages go to Redis.
      Bun.sleepSync(20)
      expect(Math.min(...(await Promise.all(counts)))).toBeGreaterThan(0)
    }
    a.bus.leave(topic)
    while ((await subscribersOf(topic)) > 1) {
      await new Promise(setImmediate)
      await send()
    }
    await send()
    await Promise.all([a.bus.join(topic), send()])
    await send()
    await b.inbox.take(sent.length)
    expect(b.on(topic)).toEqual(sent)
  }, 30_000)

  test('carries a message for other nodes when the subscriptions of the sender have just ended', async () => {
    const topic = newTopic()
    await using a = await startNode(redis, topic)
    await using b = await startNode(redis, topic)
    const carried: string[] = []
    for (let n = 0; n < 20; n++) {
      void b.bus.evict(a.bus.subscriber ?? '')
      // A message that was refused may have arrived: its outcome is unknown.
      const sent = await Promise.resolve(a.bus.publishToOthers(topic, String(n))).catch(() => undefined)
      expect(sent).not.toBe(0)
      if (sent !== undefined) carried.push(String(n))
      await eventually(() => a.returns === n + 2 && a.bus.isUp())
    }
    await b.bus.publish(topic, 'last')
    await b.inbox.until(({ message }) => message === 'last')
    const arrived = b.on(topic)
    expect(carried.filter(text => !arrived.includes(text))).toEqual([])
    expect(new Set(arrived).size).toBe(arrived.length)
  }, 20_000)

  test('keeps a topic that is joined again within 2 s, without a word to Redis', async () => {
    const topic = newTopic()
    await using node = await startNode(redis, topic)
    const last = newTopic()
    await node.bus.join(last)
    const before = await Promise.all(['subscribe', 'unsubscribe'].map(statOf))
    node.bus.leave(topic)
    expect(node.bus.join(topic)).toBeUndefined()
    node.bus.leave(last)
    await eventually(async () => (await subscribersOf(last)) === 0)
    expect(await subscribersOf(topic)).toBe(1)
    const [subscribed, unsubscribed] = await Promise.all(['subscribe', 'unsubscribe'].map(statOf))
    expect([subscribed, Number(unsubscribed)]).toEqual([before[0], Number(before[1]) + 1])
  }, 30_000)

  test('loses and repeats nothing while Redis forgets its scripts', async () => {
    const topic = newTopic()
    await using a = await startNode(redis, topic)
    await using b = await startNode(redis, topic)
    const total = 3_000
    const sent: Promise<number>[] = []
    for (let n = 0; n < total; n++) {
      sent.push(awaitedLater(a.bus.publish(topic, String(n))))
      if (n % 50 === 0) await admin.script('FLUSH')
    }
    expect(new Set(await Promise.all(sent))).toEqual(new Set([2]))
    await Promise.all([a.inbox.take(total), b.inbox.take(total)])
    const all = Array.from({ length: total }, (_, n) => String(n))
    expect([a.on(topic), b.on(topic)]).toEqual([all, all])
    expect([a.messages, b.messages]).toEqual([
      { in: total, out: total },
      { in: total, out: 0 },
    ])
  }, 20_000)

  test('receives exactly what was counted, while nodes join and publish at the same time', async () => {
    const topics = Array.from({ length: 40 }, newTopic)
    await using a = await startNode(redis)
    await using b = await startNode(redis)
    await using sender = await startNode(redis)
    const counts: Promise<number>[] = []
    for (const [n, topic] of topics.entries()) {
      void (n % 2 === 0 ? a : b).bus.join(topic)
      for (const each of topics) counts.push(awaitedLater(sender.bus.publish(each, 'x')))
      if (n % 3 === 0) await new Promise(setImmediate)
    }
    const counted = (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
    expect(counted).toBeGreaterThan(0)
    await eventually(() => a.inbox.all.length + b.inbox.all.length >= counted)
    for (const { bus } of [a, b]) await bus.publish(newTopic(), 'x')
    expect(a.inbox.all.length + b.inbox.all.length).toBe(counted)
  })

  test('lets an evicted node join again by itself, and tells it that messages may be lost', async () => {
    const topic = newTopic()
    await using a = await startNode(redis, topic)
    await using b = await startNode(redis, topic)
    const evicted = b.bus.subscriber ?? ''
    await a.bus.evict(evicted)
    expect(await a.bus.publish(topic, 'lost')).toBe(1)
    await eventually(() => b.returns === 2 && b.bus.isUp())
    expect(b.bus.subscriber).not.toBe(evicted)
    expect(await a.bus.publish(topic, 'found')).toBe(2)
    await b.inbox.next()
    expect(b.on(topic)).toEqual(['found'])
    expect([a.returns, a.refusals]).toEqual([1, []])
  })

  test('evicts subscribers of this Redis process only, and never itself', async () => {
    const topic = newTopic()
    await using a = await startNode(redis, topic)
    await using b = await startNode(redis, topic)
    const [run = '', id = ''] = (b.bus.subscriber ?? '').split('/')
    const other = redis.client()
    const otherId = await other.client('ID')
    for (const name of [`another/${id}`, `${run}/${otherId}`, `${run}/x`, 'x', '', a.bus.subscriber ?? ''])
      await a.bus.evict(name)
    expect(await a.bus.publish(topic, 'x')).toBe(2)
    expect(await other.client('ID')).toBe(otherId)
    expect([a.returns, b.returns]).toEqual([1, 1])
  })

  const COMMANDS = 'ping info client|id subscribe unsubscribe eval publish pubsub|numsub'.split(' ')
  test.each([
    [[], 'The user bus has no permissions'],
    [['+client|kill'], undefined],
  ])('needs the documented permissions only; eviction also %p', async (more, refused) => {
    await using guarded = await startRedis()
    const owner = guarded.client()
    const rules = ['on', '>pw', 'resetkeys', 'resetchannels', '&ara:bus:0:*', '-@all']
    await owner.call('ACL', 'SETUSER', 'bus', ...rules, ...COMMANDS.map(each => `+${each}`), ...more)
    const topic = newTopic()
    await using other = await startNode(guarded, topic)
    await using node = connectNode({
      hosts: [{ host: '127.0.0.1', port: guarded.port }],
      username: 'bus',
      password: 'pw',
    })
    await node.until('up')
    await node.bus.join(topic)
    expect(await node.bus.publish(topic, 'x')).toBe(2)
    await node.bus.evict(other.bus.subscriber ?? '')
    expect(await node.bus.publish(topic, 'x')).toBe(refused === undefined ? 1 : 2)
    expect(node.refusals).toHaveLength(refused === undefined ? 0 : 1)
    if (refused !== undefined) expect(node.refusals[0]).toContain('client')
    expect(node.bus.isUp()).toBe(true)
  })

  test('says why it is away when Redis forbids a topic, and does not pretend to be up', async () => {
    await using guarded = await startRedis()
    const owner = guarded.client()
    await owner.call('ACL', 'SETUSER', 'bus', 'on', '>pw', '+@all', 'resetchannels', '&ara:bus:0:pulse:*')
    await using node = connectNode({
      hosts: [{ host: '127.0.0.1', port: guarded.port }],
      username: 'bus',
      password: 'pw',
    })
    await node.until('up')
    await node.bus.join(newTopic())
    await node.until('away')
    const lost = node.events.find(event => event.type === 'lost')
    expect(lost).toMatchObject({ reason: expect.stringContaining('NOPERM') })
    await Bun.sleep(500)
    expect(node.bus.isUp()).toBe(false)
    await owner.call('ACL', 'SETUSER', 'bus', 'allchannels')
    await node.until('up')
  }, 30_000)

  test('joins a large number of topics again before it counts as up', async () => {
    const topics = Array.from({ length: 30_000 }, (_, n) => userTopic('acme', `u${n}`))
    await using a = await startNode(redis)
    await using b = await startNode(redis, ...topics)
    await a.bus.evict(b.bus.subscriber ?? '')
    await b.until('away')
    await b.until('up')
    for (let from = 0; from < topics.length; from += 1_000) {
      const some = topics.slice(from, from + 1_000)
      const counts = await Promise.all(some.map(topic => a.bus.publish(topic, 'x')))
      expect(counts.filter(count => count !== 1)).toEqual([])
    }
    await b.inbox.take(topics.length)
  }, 20_000)
})
