import { ALL_NODES } from '../../bus/bus.ts'
import { Largest } from '../../lib/collections/largest.ts'
import { type Topic, tenantTopic } from '../../notification/topic.ts'
import { sumTallies } from '../../observe/tally.ts'
import {
  bySize,
  type Census,
  type ChannelCount,
  type NameRange,
  type NodeConnections,
  type NodeCount,
  type TenantReport,
  type TenantSummary,
} from '../census.ts'
import type { Calls } from './calls.ts'
import { createNodeList, type Row } from './node-lists.ts'
import { createQuestion } from './question.ts'

interface ClusterCensusOptions {
  readonly local: Census
  readonly calls: Pick<Calls, 'on' | 'ask'>
  /** Random name of this process on the bus. */
  readonly instance: string
  /** NODE_ID of this node. */
  readonly node: string
}

/** Collects what lies in a range of names. */
function createRange<T>({ after, limit = Number.POSITIVE_INFINITY }: NameRange = {}) {
  const items: T[] = []
  return {
    items,
    add: (name: string, item: T): void => {
      if (items.length < limit && (after === undefined || name > after)) items.push(item)
    },
  }
}

const channelOf = ([name, subscribers = 0]: Row): ChannelCount => ({ name, subscribers })

const tenantOf = ([tenant, connections = 0, opened = 0, sent = 0, delivered = 0]: Row): TenantSummary => ({
  tenant,
  connections,
  opened,
  sent,
  delivered,
})

const sumReports = (reports: readonly TenantReport[]): TenantReport => ({
  isKnown: reports.some(({ isKnown }) => isKnown),
  connections: reports.reduce((sum, { connections }) => sum + connections, 0),
  users: reports.reduce((sum, { users }) => sum + users, 0),
  tally: sumTallies(reports.map(({ tally }) => tally)),
})

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Counts the connections of all nodes. A topic is asked of the nodes that have joined it, counters of all nodes. While
 * the bus is away it counts those of this node.
 */
export function createClusterCensus({ local, calls, instance, node }: ClusterCensusOptions): Census {
  const askConnections = createQuestion<null, NodeConnections>(calls, 'connections', async (_, topic) => ({
    node,
    connections: (await local.connections(topic as Topic)).connections,
  }))
  const askTenant = createQuestion<string, TenantReport>(calls, 'tenant', local.tenant)
  const askNode = createQuestion<null, readonly NodeCount[]>(
    calls,
    'node',
    async () => (await local.nodes()).nodes,
  )
  const listChannels = createNodeList({
    calls,
    instance,
    kind: 'channels',
    read: async (tenant, range) =>
      (await local.channels(tenant, range)).channels.map(({ name, subscribers }) => [name, subscribers]),
  })
  const listSubscriptions = createNodeList({
    calls,
    instance,
    kind: 'subscriptions',
    read: async (owner, range) =>
      (await local.subscriptions(owner as Topic, range)).channels.map(name => [name]),
  })
  const listTenants = createNodeList({
    calls,
    instance,
    kind: 'tenants',
    read: async (_, range) =>
      (await local.tenants(range)).tenants.map(({ tenant, connections, opened, sent, delivered }) => [
        tenant,
        connections,
        opened,
        sent,
        delivered,
      ]),
  })

  const connections: Census['connections'] = async topic => {
    const [here, { answers, partial }] = await Promise.all([
      local.connections(topic),
      askConnections(topic, null),
    ])
    const nodes = [{ node, connections: here.connections }, ...answers]
      .filter(each => each.connections > 0)
      .sort((a, b) => byText(a.node, b.node))
    return { connections: nodes.reduce((sum, each) => sum + each.connections, 0), nodes, partial }
  }

  return {
    connections,
    subscriptions: async (owner, range) => {
      const found = createRange<string>(range)
      const [count, { partial }] = await Promise.all([
        connections(owner),
        listSubscriptions(owner, owner, ([name]) => found.add(name, name)),
      ])
      return {
        connections: count.connections,
        channels: found.items,
        partial: count.partial ?? partial,
      }
    },
    channels: async (tenant, range) => {
      const found = createRange<ChannelCount>(range)
      let total = 0
      const { partial } = await listChannels(tenantTopic(tenant), tenant, row => {
        total++
        found.add(row[0], channelOf(row))
      })
      return { channels: found.items, total, partial }
    },
    largestChannels: async (tenant, most) => {
      const largest = new Largest<ChannelCount>(most, bySize)
      const { partial } = await listChannels(tenantTopic(tenant), tenant, row => largest.add(channelOf(row)))
      return { channels: largest.end(), partial }
    },
    tenant: async tenant => {
      const [here, { answers, partial }] = await Promise.all([
        local.tenant(tenant),
        askTenant(ALL_NODES, tenant),
      ])
      return { ...sumReports([here, ...answers]), partial }
    },
    tenants: async range => {
      const found = createRange<TenantSummary>(range)
      const { partial } = await listTenants(ALL_NODES, '', row => found.add(row[0], tenantOf(row)))
      return { tenants: found.items, partial }
    },
    nodes: async () => {
      const [here, { answers, partial }] = await Promise.all([local.nodes(), askNode(ALL_NODES, null)])
      const nodes = [...here.nodes, ...answers.flat()]
      return { nodes: nodes.sort((a, b) => byText(a.id, b.id) || byText(a.since, b.since)), partial }
    },
    here: local.here,
  }
}
