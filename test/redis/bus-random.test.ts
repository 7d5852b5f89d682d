import { expect, test } from 'bun:test'
import type { BusTopic } from '../../src/bus/bus.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { startProxy } from '../support/proxy.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { startNode } from '../support/redis-bus.ts'
import { eventually } from '../support/visit.ts'

const STEPS = 3_000
const TOPICS = Array.from({ length: 12 }, (_, n): BusTopic => channelTopic('default', `c${n}`))
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

test(`nodes that join, leave, publish, are cut off and evicted at random hear nothing twice, out of order or uncalled for, and their subscriptions agree with their topics (SEED=${seed})`, async () => {
  const random = createRandom(seed)
  await using redis = await startRedis()
  await using lines = new AsyncDisposableStack()
  const start = async () => {
    const line = lines.use(await startProxy(redis.port))
    const node = lines.use(await startNode(line))
    return { line, ...node, joined: new Set<BusTopic>(), ever: new Set<BusTopic>() }
  }
  const nodes = [await start(), await start(), await start()] as const
  let n = 0
  let [published, refused, faults] = [0, 0, 0]

  for (let step = 0; step < STEPS; step++) {
    const node = random.pick(nodes)
    const topic = random.pick(TOPICS as [BusTopic, ...BusTopic[]])
    const what = random.whole(0, 99)
    if (what < 25) {
      node.joined.add(topic)
      node.ever.add(topic)
      void node.bus.join(topic)
    } else if (what < 40) {
      node.joined.delete(topic)
      node.bus.leave(topic)
    } else if (what < 98) {
      const { bus } = node
      const publish = random.chance(0.5) ? bus.publish : bus.publishToOthers
      Promise.resolve(publish(topic, `${bus.instance} ${n++}`)).then(
        () => published++,
        () => refused++,
      )
    } else {
      faults++
      if (random.chance(0.5)) node.line.cut()
      else void node.bus.evict(random.pick(nodes).bus.subscriber ?? '')
    }
    if (random.chance(0.3)) await Bun.sleep(random.whole(0, 4))
  }

  // Quiet: every connection is back and the last leaves are done.
  const admin = redis.client()
  const counts = async () =>
    Promise.all(
      TOPICS.map(async topic =>
        Number(((await admin.pubsub('NUMSUB', `ara:bus:0:${topic}`)) as unknown[])[1]),
      ),
    )
  const expected = TOPICS.map(topic => nodes.filter(({ joined }) => joined.has(topic)).length)
  await eventually(() => nodes.every(({ bus }) => bus.isUp()), 20_000)
  await eventually(async () => Bun.deepEquals(await counts(), expected), 10_000)
  await Bun.sleep(300)
  expect(await counts()).toEqual(expected)

  let [duplicates, inversions, phantoms] = [0, 0, 0]
  for (const { inbox, ever } of nodes) {
    const last = new Map<string, number>()
    for (const { topic, message } of inbox.all) {
      const [sender = '', number = ''] = message.split(' ')
      const before = last.get(`${sender} ${topic}`) ?? -1
      if (Number(number) === before) duplicates++
      if (Number(number) < before) inversions++
      if (!ever.has(topic) || Number(number) >= n) phantoms++
      last.set(`${sender} ${topic}`, Number(number))
    }
  }
  expect({ duplicates, inversions, phantoms }).toEqual({ duplicates: 0, inversions: 0, phantoms: 0 })
  expect(published + refused).toBe(n)
  expect(published).toBeGreaterThan(100)
  expect(faults).toBeGreaterThan(10)

  // A topic that is joined carries messages.
  for (const topic of TOPICS) {
    const joined = nodes.filter(node => node.joined.has(topic))
    expect(await nodes[0].bus.publish(topic, `last ${n}`)).toBe(joined.length)
    for (const { inbox } of joined)
      await inbox.until(each => each.topic === topic && each.message.startsWith('last'))
  }
}, 60_000)
