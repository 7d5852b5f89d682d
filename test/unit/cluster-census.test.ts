import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { nodeTopic } from '../../src/bus/bus.ts'
import type { Census } from '../../src/dispatch/census.ts'
import { channelTopic, userTopic } from '../../src/notification/topic.ts'
import { createMemoryCluster, SINCE } from '../support/memory-cluster.ts'

type Cluster = ReturnType<typeof createMemoryCluster>

/** Asks each node in turn; all answers must be equal. */
async function askEach<T>({ nodes }: Cluster, ask: (census: Census) => T): Promise<Awaited<T>> {
  const answers: Awaited<T>[] = []
  for (const { census } of nodes) answers.push(await ask(census))
  for (const answer of answers) expect(answer).toEqual(answers[0] as typeof answer)
  return answers[0] as Awaited<T>
}

const namesUpTo = (count: number, step: number): readonly string[] =>
  Array.from({ length: count }, (_, n) => `channel-${String(n * step).padStart(6, '0')}`)

describe('a look-up on any node counts the connections of all nodes', () => {
  test('of a user, with the nodes that hold them', async () => {
    using service = createMemoryCluster(['b', 'a', 'c'])
    const [b, a] = service.nodes
    b?.connect('u', ['orders', 'system'])
    b?.connect('u', ['orders'])
    a?.connect('u', ['system', 'alerts'])
    a?.connect('v')
    const owner = userTopic('t', 'u')
    expect(await askEach(service, census => census.connections(owner))).toEqual({
      connections: 3,
      nodes: [
        { node: 'a', connections: 1 },
        { node: 'b', connections: 2 },
      ],
    })
    expect(await askEach(service, census => census.subscriptions(owner))).toEqual({
      connections: 3,
      channels: ['alerts', 'orders', 'system'],
    })
    expect(await askEach(service, census => census.connections(channelTopic('t', 'orders')))).toMatchObject({
      connections: 2,
    })
    expect(await askEach(service, census => census.connections(userTopic('t', 'away')))).toEqual({
      connections: 0,
      nodes: [],
    })
  })

  test('of a tenant, with the counters of nodes that have no connection', async () => {
    using service = createMemoryCluster(['a', 'b', 'c'])
    const [a, b, c] = service.nodes
    for (const node of [a, b]) {
      node?.connect('u')
      node?.tally.delivered('t', 3)
    }
    if (c) {
      c.tally.of('t').sent.user = 5
      c.tally.of('t').acks.latencyMs = 1.5
      c.tally.of('other').opened = 1
    }
    const report = await askEach(service, census => census.tenant('t'))
    expect(report).toMatchObject({ isKnown: true, connections: 2, users: 2 })
    expect(report.tally).toMatchObject({ delivered: 6, sent: { user: 5 }, acks: { latencyMs: 1.5 } })
    expect(await askEach(service, census => census.tenants())).toEqual({
      tenants: [
        { tenant: 'other', connections: 0, opened: 1, sent: 0, delivered: 0 },
        { tenant: 't', connections: 2, opened: 0, sent: 5, delivered: 6 },
      ],
    })
    expect(await askEach(service, census => census.tenant('unknown'))).toMatchObject({ isKnown: false })
  })

  test('of a node, by id', async () => {
    using service = createMemoryCluster(['b', 'a'])
    service.nodes[0]?.connect('u')
    const at = { version: '1.0.0', since: SINCE }
    expect(await askEach(service, census => census.nodes())).toEqual({
      nodes: [
        { id: 'a', connections: 0, ...at },
        { id: 'b', connections: 1, ...at },
      ],
    })
  })
})

describe('a list over all nodes', () => {
  test('is the sum of what the nodes hold, whatever they hold and whichever page is asked', async () => {
    const channel = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '0'), minLength: 1, maxLength: 2 })
    const held = fc.array(fc.array(channel, { maxLength: 4 }), { maxLength: 6 })
    const arbitrary = fc.record({
      nodes: fc.array(held, { minLength: 1, maxLength: 3 }),
      after: fc.option(channel, { nil: undefined }),
      limit: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
    })
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ nodes, after, limit }) => {
        using service = createMemoryCluster(nodes.map((_, n) => `n${n}`))
        const counts = new Map<string, number>()
        for (const [n, connections] of nodes.entries())
          for (const channels of connections) {
            service.nodes[n]?.connect('u', channels)
            for (const name of new Set(channels)) counts.set(name, (counts.get(name) ?? 0) + 1)
          }
        const all = [...counts.keys()].sort().map(name => ({ name, subscribers: counts.get(name) ?? 0 }))
        const page = all.filter(({ name }) => after === undefined || name > after).slice(0, limit)
        expect(await askEach(service, census => census.channels('t', { after, limit }))).toEqual({
          channels: page,
          total: all.length,
        })
        const largest = all.toSorted((a, b) => b.subscribers - a.subscribers).slice(0, 3)
        expect(await askEach(service, census => census.largestChannels('t', 3))).toEqual({
          channels: largest,
        })
        expect(
          (await askEach(service, census => census.subscriptions(userTopic('t', 'u')))).channels,
        ).toEqual(all.map(({ name }) => name))
      }),
      { numRuns: 60 },
    )
  })

  test('arrives in messages of at most 2,000 names, each name once', async () => {
    using service = createMemoryCluster(['a', 'b', 'c'])
    const { network, nodes } = service
    const lengths: number[] = []
    network.lose = (_, message) => {
      lengths.push(message.length)
      return false
    }
    for (const [n, node] of nodes.entries()) node.connect('u', namesUpTo(6_000, n + 1))
    const names = [...new Set(nodes.flatMap((_, n) => namesUpTo(6_000, n + 1)))].sort()
    const { channels, total } = await askEach(service, census => census.channels('t', { limit: 10_000 }))
    expect(total).toBe(names.length)
    expect(channels.map(({ name }) => name)).toEqual(names.slice(0, 10_000))
    expect(channels[0]?.subscribers).toBe(3)
    expect(Math.max(...lengths)).toBeLessThan(2_000 * 40)
    const last = await askEach(service, census => census.channels('t', { after: names.at(-2) }))
    expect(last).toEqual({ channels: [{ name: names.at(-1) ?? '', subscribers: 1 }], total })
  })
})

describe('a node that does not answer is left out, and the result is partial', () => {
  test('in every look-up', async () => {
    using service = createMemoryCluster(['a', 'b'])
    const [a, b] = service.nodes
    for (const node of [a, b]) node?.connect('u', ['orders'])
    service.network.lose = (_, __, to) => to === 'instance-1'
    if (a === undefined) throw new Error('no node')
    const owner = userTopic('t', 'u')
    const answers = await Promise.all([
      a.census.connections(owner),
      a.census.subscriptions(owner),
      a.census.channels('t'),
      a.census.largestChannels('t', 5),
      a.census.tenant('t'),
      a.census.tenants(),
      a.census.nodes(),
    ])
    expect(answers.map(({ partial }) => partial)).toEqual(answers.map(() => true))
    expect(answers[0]).toEqual({ connections: 1, nodes: [{ node: 'a', connections: 1 }], partial: true })
    expect(answers[2]).toEqual({ channels: [{ name: 'orders', subscribers: 1 }], total: 1, partial: true })
    // No other node has joined these topics.
    const away = await Promise.all([
      a.census.connections(userTopic('t', 'away')),
      a.census.channels('unknown'),
    ])
    expect(away).toEqual([
      { connections: 0, nodes: [] },
      { channels: [], total: 0 },
    ])
  })

  test('when it dies amid a list', async () => {
    using service = createMemoryCluster(['a', 'b'])
    const [a, b] = service.nodes
    a?.connect('u', namesUpTo(10, 1))
    b?.connect('u', namesUpTo(3_000, 10))
    service.network.lose = topic => topic === nodeTopic('instance-1')
    const { channels, total, partial } = (await a?.census.channels('t')) ?? {}
    expect([channels?.length, total, partial]).toEqual([509, 509, true])
    await b?.bus[Symbol.asyncDispose]()
    expect(await a?.census.channels('t')).toMatchObject({ total: 10 })
  })

  test('a node without its bus counts its own connections', async () => {
    using service = createMemoryCluster(['a', 'b'])
    const [a, b] = service.nodes
    for (const node of [a, b]) node?.connect('u', ['orders'])
    service.network.cut.add('instance-0')
    expect(await a?.census.connections(userTopic('t', 'u'))).toMatchObject({ connections: 1, partial: true })
    expect(await a?.census.channels('t')).toMatchObject({ total: 1, partial: true })
    expect(await a?.census.nodes()).toMatchObject({ nodes: [{ id: 'a' }], partial: true })
  })

  test('also if it is of another version and does not know the question', async () => {
    using service = createMemoryCluster(['a', 'b'])
    const [a, b] = service.nodes
    b?.calls.on('tenant', () => '')
    expect(await a?.census.tenant('t')).toMatchObject({ isKnown: false, partial: true })
  })
})
