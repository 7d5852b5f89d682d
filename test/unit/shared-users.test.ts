import { expect, test } from 'bun:test'
import { createCalls } from '../../src/dispatch/cluster/calls.ts'
import { createSharedUsers } from '../../src/dispatch/cluster/shared-users.ts'
import { type Topic, tenantTopic, userTopic } from '../../src/notification/topic.ts'
import { createMemoryBusNetwork } from '../support/memory-bus.ts'
import { eventually } from '../support/visit.ts'

const ANN = userTopic('t', 'ann')

/** Nodes with these instances, and the users who are connected to each. */
function start(...instances: readonly string[]) {
  const network = createMemoryBusNetwork()
  const running = new Set(instances)
  const onFault = (error: unknown) => {
    throw error
  }
  const nodes = instances.map(instance => {
    const bus = network.connect(instance)
    const calls = createCalls({ bus, onFault })
    const users = new Set<Topic>()
    const shared = createSharedUsers({
      calls,
      instance,
      members: {
        others: () =>
          [...running]
            .filter(each => each !== instance)
            .map(each => ({ instance: each, id: each, version: '1.0.0', since: '' })),
      },
      hasConnection: owner => users.has(owner),
      onFault,
    })
    const open = async (): Promise<void> => {
      users.add(ANN)
      await bus.join(ANN)
      await shared.opened([ANN, tenantTopic('t')])
    }
    const close = (): void => {
      users.delete(ANN)
      bus.leave(ANN)
      shared.closed(ANN)
    }
    return { shared, open, close, calls, counts: () => shared.counterOf(ANN) === undefined }
  })
  const [a, b, c] = nodes
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes are needed')
  return {
    network,
    running,
    all: nodes,
    a,
    b,
    c,
    [Symbol.dispose]: () => {
      for (const { calls } of nodes) calls[Symbol.dispose]()
    },
  }
}

test('one node counts for a user, in whatever order the nodes get connections, also at the same time', async () => {
  for (const order of ['abc', 'cba', 'bca'] as const) {
    using cluster = start('a', 'b', 'c')
    const { a, b, c } = cluster
    for (const name of order) await cluster[name as 'a' | 'b' | 'c'].open()
    expect([a.counts(), b.shared.counterOf(ANN), c.shared.counterOf(ANN)]).toEqual([true, 'a', 'a'])
  }
  using cluster = start('a', 'b', 'c')
  const { a, b, c } = cluster
  await Promise.all([c.open(), a.open(), b.open()])
  expect([a.counts(), b.shared.counterOf(ANN), c.shared.counterOf(ANN)]).toEqual([true, 'a', 'a'])
})

test('a node without a connection of the user counts no more, and another one does', async () => {
  using cluster = start('a', 'b', 'c')
  const { a, b, c } = cluster
  for (const node of [a, b, c]) await node.open()
  a.close()
  await eventually(() => b.counts())
  expect(c.shared.counterOf(ANN)).toBe('b')
  b.close()
  await eventually(() => c.counts())
  await a.open()
  expect([a.counts(), c.shared.counterOf(ANN)]).toEqual([true, 'a'])
})

test('many nodes that came and went push out no node that runs', async () => {
  const ended = Array.from({ length: 40 }, (_, n) => `0${n}`)
  using cluster = start('a', 'b', 'c', ...ended)
  const { a, b, c, all, running } = cluster
  for (const node of [a, b, c]) await node.open()
  for (const [n, node] of all.slice(3).entries()) {
    await node.open()
    running.delete(ended[n] ?? '')
  }
  expect([a.counts(), b.shared.counterOf(ANN), c.shared.counterOf(ANN)]).toEqual([true, 'a', 'a'])
})

test('a node that left the cluster does not count', async () => {
  using cluster = start('a', 'b', 'c')
  const { a, b, c, running } = cluster
  for (const node of [a, b, c]) await node.open()
  running.delete('a')
  expect([b.counts(), c.shared.counterOf(ANN)]).toEqual([true, 'b'])
})

test('after an outage of the bus each node asks again', async () => {
  using cluster = start('a', 'b', 'c')
  const { a, b, c, network } = cluster
  await a.open()
  await b.open()
  network.cut.add('a')
  a.close()
  await c.open()
  // The end of the connection to `a` is unknown.
  expect(b.shared.counterOf(ANN)).toBe('a')
  network.cut.delete('a')
  a.shared.again()
  await eventually(() => b.counts())
  expect(c.shared.counterOf(ANN)).toBe('b')
  network.cut.add('a')
  await a.open()
  expect([a.counts(), b.counts()]).toEqual([true, true])
  network.cut.delete('a')
  a.shared.again()
  await eventually(() => b.shared.counterOf(ANN) === 'a' && c.shared.counterOf(ANN) === 'a')
  expect(a.counts()).toBe(true)
})
