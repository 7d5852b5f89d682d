import { describe, expect, test } from 'bun:test'
import { ALL_NODES, type BusTopic } from '../../src/bus/bus.ts'
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
    const { id, head } = a.calls.begin('count')
    const nodes = await a.bus.publish(TOPIC, `${head}\nx`)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    expect(await a.calls.collect(id, TOPIC, nodes)).toEqual({ texts: [`b x ${TOPIC}`], missing: 0 })
  })

  test('rejects while the bus is away', async () => {
    const { network, a } = twoNodes()
    network.cut.add('a')
    expect(a.calls.ask(ALL_NODES, 'count', 'x')).rejects.toThrow('away')
  })
})
