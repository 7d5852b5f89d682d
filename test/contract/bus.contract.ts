import { describe, expect, test } from 'bun:test'
import { ALL_NODES, type BusTopic, nodeTopic } from '../../src/bus/bus.ts'
import { channelTopic, tenantTopic, userTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import type { BusNode } from '../support/bus-node.ts'

const TOPIC: BusTopic = channelTopic('default', 'orders')
const OTHER: BusTopic = channelTopic('default', 'other')
/** Tells a node that it has received everything published before. */
const LAST = 'last'

const joinAll = (topic: BusTopic, nodes: readonly BusNode[]) =>
  Promise.all(nodes.map(({ bus }) => bus.join(topic)))

const untilLast = (nodes: readonly BusNode[]) =>
  Promise.all(nodes.map(({ inbox }) => inbox.until(({ message }) => message === LAST)))

/** The promises of a bus between nodes; `open` connects one more node. */
export function busContract(name: string, open: () => Promise<BusNode>): void {
  describe(`a ${name} bus`, () => {
    test('carries a message once to each node that joined the topic, the sender included, and returns their number', async () => {
      await using a = await open()
      await using b = await open()
      await using c = await open()
      await joinAll(TOPIC, [a, b])
      await joinAll(OTHER, [c])
      expect(await a.bus.publish(TOPIC, 'one')).toBe(2)
      expect(await c.bus.publish(TOPIC, 'two')).toBe(2)
      expect(await a.bus.publish(OTHER, LAST)).toBe(1)
      await untilLast([c])
      expect(await c.bus.publish(TOPIC, LAST)).toBe(2)
      await untilLast([a, b])
      expect([a, b, c].map(({ inbox }) => inbox.all)).toEqual([
        ['one', 'two', LAST].map(message => ({ topic: TOPIC, message })),
        ['one', 'two', LAST].map(message => ({ topic: TOPIC, message })),
        [{ topic: OTHER, message: LAST }],
      ])
    })

    test('carries a message for other nodes as any other, but not if the sender alone joined the topic', async () => {
      await using a = await open()
      await using b = await open()
      await a.bus.join(TOPIC)
      expect(await a.bus.publishToOthers(TOPIC, 'one')).toBe(0)
      expect(await b.bus.publishToOthers(TOPIC, 'two')).toBe(1)
      await b.bus.join(TOPIC)
      expect(await a.bus.publishToOthers(TOPIC, 'three')).toBe(2)
      expect(await a.bus.publishToOthers(OTHER, 'four')).toBe(0)
      expect(await a.bus.publish(TOPIC, LAST)).toBe(2)
      await untilLast([a, b])
      expect([a.on(TOPIC), b.on(TOPIC)]).toEqual([
        ['two', 'three', LAST],
        ['three', LAST],
      ])
    })

    test('returns 0 for a topic that no node joined', async () => {
      await using a = await open()
      expect(await a.bus.publish(channelTopic('default', 'nobody'), 'x')).toBe(0)
    })

    test('keeps the order of each sender on a topic, whatever else is published in the same turn', async () => {
      await using a = await open()
      await using b = await open()
      await using c = await open()
      const nodes = [a, b, c]
      const topics = [TOPIC, OTHER, userTopic('default', 'ann')]
      for (const topic of topics) await joinAll(topic, nodes)
      const sent: Promise<number>[] = []
      for (let n = 0; n < 1_200; n++) {
        for (const { bus } of nodes)
          for (const topic of topics) sent.push(awaitedLater(bus.publish(topic, `${bus.instance} ${n}`)))
        if (n % 100 === 0) await new Promise(setImmediate)
      }
      expect(new Set(await Promise.all(sent))).toEqual(new Set([3]))
      for (const topic of topics) await a.bus.publish(topic, LAST)
      await Promise.all(nodes.map(node => node.inbox.take(3 * 3_600 + 3)))
      for (const node of nodes)
        for (const topic of topics)
          for (const { bus } of nodes) {
            const heard = node.on(topic).filter(text => text.startsWith(`${bus.instance} `))
            expect(heard).toEqual(Array.from({ length: 1_200 }, (_, n) => `${bus.instance} ${n}`))
          }
    }, 30_000)

    test('carries what is published as soon as join has resolved', async () => {
      await using a = await open()
      await using b = await open()
      for (let n = 0; n < 50; n++) {
        const topic = userTopic('default', `u${n}`)
        await a.bus.join(topic)
        expect(await b.bus.publish(topic, 'x')).toBe(1)
      }
      await a.inbox.take(50)
      expect(a.inbox.all.map(({ topic }) => topic)).toEqual(
        Array.from({ length: 50 }, (_, n) => userTopic('default', `u${n}`)),
      )
    })

    test('joins a joined topic without a promise, and carries its messages once', async () => {
      await using a = await open()
      await a.bus.join(TOPIC)
      expect(a.bus.join(TOPIC)).toBeUndefined()
      expect(await a.bus.publish(TOPIC, LAST)).toBe(1)
      await untilLast([a])
      expect(a.inbox.all).toHaveLength(1)
    })

    test('carries any text on topics of any name, unchanged', async () => {
      await using a = await open()
      await using b = await open()
      const topics: BusTopic[] = [
        ALL_NODES,
        nodeTopic(b.bus.instance),
        tenantTopic('acme'),
        channelTopic('acme', 'Ünïcode.頻道'),
        userTopic('acme', 'a:b'),
        userTopic('acme', '{a}b}'),
        userTopic('acme', '*?[a] "x\\'),
        userTopic('acme', 'user:{acme:ann}'),
      ]
      const texts = ['', ' ', 'line\nline\r\n', '頻道 😀', '\0', `{"a":"${'é'.repeat(300_000)}"}`]
      await Promise.all(topics.map(topic => b.bus.join(topic)))
      const counts = topics.flatMap(topic => texts.map(text => a.bus.publish(topic, text)))
      expect(new Set(await Promise.all(counts))).toEqual(new Set([1]))
      await b.inbox.take(counts.length)
      for (const topic of topics) expect(b.on(topic)).toEqual(texts)
    })

    test('does not mix up topics whose names look alike', async () => {
      await using a = await open()
      await using b = await open()
      await b.bus.join(userTopic('acme', 'ann'))
      const alike = [
        userTopic('acme', '{ann}'),
        userTopic('acme', 'ann '),
        channelTopic('acme', 'ann'),
        tenantTopic('acme'),
        'user:{acme:ann}' as BusTopic,
      ]
      for (const topic of alike) expect([topic, await a.bus.publish(topic, 'x')]).toEqual([topic, 0])
      expect(await a.bus.publish(userTopic('acme', 'ann'), 'x')).toBe(1)
    })

    test('has random instances', async () => {
      await using a = await open()
      await using b = await open()
      expect(a.bus.instance).not.toBe(b.bus.instance)
      expect(a.bus.subscriber).not.toBe(b.bus.subscriber)
      expect([a.bus.isUp(), b.bus.isUp()]).toEqual([true, true])
    })

    test('ends the subscriptions of an evicted node', async () => {
      await using a = await open()
      await using b = await open()
      await joinAll(TOPIC, [a, b])
      await a.bus.evict(b.bus.subscriber ?? '')
      expect(await a.bus.publish(TOPIC, 'x')).toBe(1)
    })
  })
}
