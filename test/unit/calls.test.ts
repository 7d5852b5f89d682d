import { describe, expect, test } from 'bun:test'
import { ALL_NODES, type BusTopic, nodeTopic } from '../../src/bus/bus.ts'
import { createCalls } from '../../src/dispatch/cluster/calls.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { createMemoryBusNetwork } from '../support/memory-bus.ts'

const TOPIC: BusTopic = channelTopic('default', 'orders')

function twoNodes() {
  const network = createMemoryBusNetwork()
  const missing: (readonly string[])[] = []
  const node = (name: string) => {
    const bus = network.connect(name)
    const calls = createCalls({
      bus,
      onFault: error => {
        throw error
      },
      onMissing: ({ answered }) => missing.push([...answered].sort()),
    })
    calls.on('count', (text, topic) => `${name} ${text} ${topic}`)
    return { bus, calls }
  }
  return { network, missing, a: node('a'), b: node('b') }
}

describe('a call to other nodes', () => {
  test('returns the answer of each other node that joined the topic', async () => {
    const { a, b } = twoNodes()
    expect(await a.calls.ask(TOPIC, 'count', 'x')).toEqual({ texts: [], missing: 0 })
    void a.bus.join(TOPIC)
    void b.bus.join(TOPIC)
    expect(await a.calls.ask(TOPIC, 'count', 'x')).toEqual({ texts: [`b x ${TOPIC}`], missing: 0 })
  })

  test('counts a node whose answer does not arrive as missing', async () => {
    const { network, missing, a } = twoNodes()
    network.lose = (_, __, to) => to === 'b'
    expect(await a.calls.ask(ALL_NODES, 'count', 'x')).toEqual({ texts: [], missing: 1 })
    expect(missing).toEqual([['a']])
  })

  test('waits for answers that arrive before the number of nodes is known', async () => {
    const { a, b } = twoNodes()
    void b.bus.join(TOPIC)
    const id = a.calls.begin()
    const nodes = await a.bus.publish(TOPIC, `${a.calls.headOf('count', id)}\nx`)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(await a.calls.collect(id, TOPIC, nodes)).toEqual({ texts: [`b x ${TOPIC}`], missing: 0 })
  })

  test('keeps its early answers while many answers to ended calls arrive', async () => {
    const { a, b } = twoNodes()
    void b.bus.join(TOPIC)
    const ended = Array.from({ length: 9_000 }, () => a.calls.begin())
    const id = a.calls.begin()
    const nodes = await a.bus.publish(TOPIC, `${a.calls.headOf('count', id)}\nx`)
    await b.bus.publish(
      nodeTopic('a'),
      `answers b 0\n${JSON.stringify(
        ended.flatMap(each => [
          [each, ''],
          [each, ''],
        ]),
      )}`,
    )
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(await a.calls.collect(id, TOPIC, nodes)).toEqual({ texts: [`b x ${TOPIC}`], missing: 0 })
  })

  test('ignores answers to messages without an answer and to unknown calls', async () => {
    const { a, b } = twoNodes()
    const garbage = [0, -1, 2, 'x', null].map(id => [id, 'text'])
    await b.bus.publish(nodeTopic('a'), `answers b 0\n${JSON.stringify(garbage)}`)
    await new Promise(setImmediate)
    const ids = [a.calls.begin(), a.calls.begin()]
    const found = await Promise.all(ids.map(id => a.calls.collect(id, TOPIC, 0)))
    expect(found).toEqual([
      { texts: [], missing: 0 },
      { texts: [], missing: 0 },
    ])
  })

  test('rejects while the bus is away', async () => {
    const { network, a } = twoNodes()
    network.cut.add('a')
    expect(a.calls.ask(ALL_NODES, 'count', 'x')).rejects.toThrow('away')
  })
})
