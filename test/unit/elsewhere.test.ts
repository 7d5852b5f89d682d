import { expect, test } from 'bun:test'
import { tenantTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createStoppedClock } from '../support/clock.ts'
import { createMemoryCluster } from '../support/memory-cluster.ts'

const BOTH = { user: true, tenant: true }

function twoNodes() {
  const clock = createStoppedClock()
  const { network, nodes, ...rest } = createMemoryCluster(['a', 'b'], clock)
  const [a, b] = nodes
  if (a === undefined || b === undefined) throw new Error('no node')
  const asked: string[] = []
  network.lose = (topic, _, to) => {
    if (to === 'instance-1') asked.push(topic)
    return false
  }
  return { clock, network, a, b, asked, ...rest }
}

test('the user is counted anew each time, the tenant at most once a second', async () => {
  using service = twoNodes()
  const { clock, a, b, asked } = service
  b.connect('u')
  expect(await a.countElsewhere('t', 'u', BOTH)).toEqual({ user: 1, tenant: 1 })
  b.connect('u')
  b.connect('v')
  expect(await a.countElsewhere('t', 'u', BOTH)).toEqual({ user: 2, tenant: 1 })
  clock.jump(1)
  const both = await Promise.all([a.countElsewhere('t', 'u', BOTH), a.countElsewhere('t', 'v', BOTH)])
  expect(both).toEqual([
    { user: 2, tenant: 3 },
    { user: 1, tenant: 3 },
  ])
  expect(asked.filter(topic => topic === tenantTopic('t'))).toHaveLength(2)
})

test('a count that leaves a tenant no room is used for a tenth of a second only, however many connect', async () => {
  using service = twoNodes()
  const { clock, a, b, asked } = service
  const close = b.connect('u')
  const isFull = (elsewhere: number) => elsewhere >= 1
  const count = () => a.countElsewhere('t', 'v', { user: false, tenant: true }, isFull)
  expect(await count()).toEqual({ user: 0, tenant: 1 })
  close()
  clock.jump(0.05)
  expect(await count()).toEqual({ user: 0, tenant: 1 })
  clock.jump(0.06)
  const none = { user: 0, tenant: 0 }
  expect(await Promise.all([count(), count(), count()])).toEqual([none, none, none])
  expect(asked).toHaveLength(2)
})

test('connections of this node and of other tenants do not count', async () => {
  using service = twoNodes()
  const { a, b } = service
  a.connect('u')
  b.connect('u', [], 'other')
  b.connect('v')
  expect(await a.countElsewhere('t', 'u', BOTH)).toEqual({ user: 0, tenant: 1 })
})

test('without a limit no node is asked', async () => {
  using service = twoNodes()
  const { a, b, asked } = service
  b.connect('u')
  expect(await a.countElsewhere('t', 'u', { user: false, tenant: false })).toEqual({ user: 0, tenant: 0 })
  expect(asked).toEqual([])
})

test('a node that does not answer within 500 ms counts none, and so do all nodes while the bus is away', async () => {
  using service = twoNodes()
  const { clock, network, a, b } = service
  b.connect('u')
  network.lose = (_, __, to) => to === 'instance-1'
  const counting = awaitedLater(a.countElsewhere('t', 'u', BOTH))
  await new Promise(setImmediate)
  clock.jump(0.5)
  expect(await counting).toEqual({ user: 0, tenant: 0 })
  network.cut.add('instance-0')
  expect(await a.countElsewhere('t', 'u', BOTH)).toEqual({ user: 0, tenant: 0 })
})
