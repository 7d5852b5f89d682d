import { expect, test } from 'bun:test'
import { ALL_NODES } from '../../src/bus/bus.ts'
import { createCluster } from '../../src/dispatch/cluster/cluster.ts'
import type { Members } from '../../src/hub/members.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import type { Logger } from '../../src/observe/log.ts'
import { createStats } from '../../src/observe/stats.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createMemoryBusNetwork } from '../support/memory-bus.ts'
import { eventually } from '../support/visit.ts'

const TOPIC = channelTopic('default', 'orders')

/** Nodes on one bus; each joins the topic and answers `echo`. */
function start(...names: readonly string[]) {
  const network = createMemoryBusNetwork()
  const stack = new DisposableStack()
  const nodes = names.map(name => {
    const bus = network.connect(name)
    const lines: unknown[] = []
    const stats = createStats()
    const cluster = stack.use(
      createCluster({
        bus,
        db: 0,
        hub: { members: topic => ({ size: bus.joined.has(topic) ? 1 : 0 }) as Members },
        node: { id: `id-${name}`, version: '1.0.0', since: '2026-01-01T00:00:00.000Z' },
        onFault: error => {
          throw error
        },
        clock: systemClock,
        logger: { warn: (...line: unknown[]) => void lines.push(line) } as unknown as Logger,
        stats,
      }),
    )
    void bus.join(TOPIC)
    cluster.calls.on('echo', text => `${name} ${text}`)
    const ids = () =>
      cluster.members
        .others()
        .map(({ id }) => id)
        .sort()
    const ask = async (topic: Parameters<typeof cluster.calls.ask>[0] = ALL_NODES) => {
      const { texts, missing } = await cluster.calls.ask(topic, 'echo', 'x')
      return { texts: [...texts].sort(), missing, timeouts: stats.busAnswerTimeouts }
    }
    return { bus, cluster, lines, ids, ask }
  })
  const knowEachOther = () => eventually(() => nodes.every(({ ids }) => ids().length === names.length - 1))
  return { network, nodes, knowEachOther, [Symbol.dispose]: () => stack.dispose() }
}

test('nodes learn of each other', async () => {
  using service = start('a', 'b', 'c')
  await service.knowEachOther()
  const [a] = service.nodes
  expect(a?.ids()).toEqual(['id-b', 'id-c'])
  expect(a?.cluster.members.others()[0]).toMatchObject({
    version: '1.0.0',
    since: '2026-01-01T00:00:00.000Z',
  })
})

test('a frozen node costs the time to answer once, and is known again when it wakes', async () => {
  using service = start('a', 'b', 'c')
  await service.knowEachOther()
  const [a] = service.nodes
  const { network } = service
  network.frozen.add('c')
  // The node that is silent is missing in each answer, but only the first one waits for it.
  expect(await a?.ask()).toEqual({ texts: ['b x'], missing: 1, timeouts: 1 })
  expect(await a?.ask()).toEqual({ texts: ['b x'], missing: 1, timeouts: 1 })
  expect(await a?.ask(TOPIC)).toEqual({ texts: ['b x'], missing: 1, timeouts: 1 })
  expect(a?.lines).toEqual([[{ member: 'id-c' }, 'cluster.node_silent']])
  await eventually(() => a?.ids().length === 1)
  expect(await a?.ask()).toEqual({ texts: ['b x'], missing: 0, timeouts: 1 })
  network.frozen.delete('c')
  await eventually(() => a?.ids().length === 2)
})

test('a node that was frozen before the first call costs the time to answer once, on all topics', async () => {
  using service = start('a', 'b', 'c')
  await service.knowEachOther()
  const [a, b, c] = service.nodes
  service.network.frozen.add('c')
  await eventually(() => a?.ids().length === 1 && b?.ids().length === 1)
  expect(c?.bus.joined.size).toBe(0)
  expect(await a?.ask(TOPIC)).toEqual({ texts: ['b x'], missing: 0, timeouts: 0 })
  expect(a?.lines).toEqual([])
})

test('a node that is silent for a second keeps its subscriptions, and calls wait for all others', async () => {
  using service = start('a', 'b', 'c')
  await service.knowEachOther()
  const [a, b, c] = service.nodes
  const { network } = service
  network.frozen.add('c')
  await a?.ask()
  // Only `b` joined it beside `a`.
  c?.bus.leave(TOPIC)
  const late = Promise.withResolvers<void>()
  network.hold = (_, message, to) => (to === 'b' && message.startsWith('echo') ? late.promise : undefined)
  const asked = awaitedLater(a?.ask(TOPIC))
  await Bun.sleep(100)
  late.resolve()
  expect(await asked).toEqual({ texts: ['b x'], missing: 0, timeouts: 1 })
  await Bun.sleep(400)
  network.frozen.delete('c')
  expect(c?.bus.joined.size).toBe(2)
  await eventually(async () => (await a?.ask())?.texts.length === 2)
  expect(b?.ids()).toEqual(['id-a', 'id-c'])
})

test('a node that ends is forgotten', async () => {
  using service = start('a', 'b')
  await service.knowEachOther()
  const [a, b] = service.nodes
  b?.cluster[Symbol.dispose]()
  await eventually(() => a?.ids().length === 0)
})

test('a lost question ends no subscription', async () => {
  using service = start('a', 'b')
  await service.knowEachOther()
  const [a] = service.nodes
  service.network.lose = (_, message, to) => to === 'b' && message.startsWith('echo')
  expect((await a?.ask())?.missing).toBe(1)
  service.network.lose = () => false
  expect(await a?.ask()).toEqual({ texts: ['b x'], missing: 0, timeouts: 1 })
  expect(a?.lines).toEqual([])
})

test('a foreign subscriber costs the time to answer once', async () => {
  using service = start('a', 'b')
  await service.knowEachOther()
  const [a] = service.nodes
  const { network } = service
  network.foreign.set(ALL_NODES, 1)
  expect((await a?.ask())?.missing).toBe(1)
  await eventually(() => a?.lines.length === 1)
  expect(a?.lines).toEqual([[{ topic: ALL_NODES }, 'bus.foreign_subscribers']])
  expect(await a?.ask()).toEqual({ texts: ['b x'], missing: 0, timeouts: 1 })
})

test('a node that takes the place of a foreign subscriber is left out at most once', async () => {
  using service = start('a', 'b', 'c')
  await service.knowEachOther()
  const [a, , c] = service.nodes
  const { network } = service
  c?.bus.leave(TOPIC)
  network.foreign.set(TOPIC, 1)
  await a?.ask(TOPIC)
  await eventually(() => a?.lines.length === 1)
  network.foreign.clear()
  void c?.bus.join(TOPIC)
  await a?.ask(TOPIC)
  // The late answer arrives.
  await eventually(() => true)
  await a?.ask()
  expect(await a?.ask(TOPIC)).toEqual({ texts: ['b x', 'c x'], missing: 0, timeouts: 1 })
})
