import { ALL_NODES } from '../../bus/bus.ts'
import { Largest } from '../../lib/collections/largest.ts'
import { type Topic, tenantTopic } from '../../notification/topic.ts'
import { sumTallies } from '../../observe/tally.ts'
import {
  bySize,
  type Census,
  type ChannelCount,
  type NodeConnections,
  type NodeCount,
  type TenantReport,
  type TenantSummary,
} from '../census.ts'
import type { Calls } from './calls.ts'
import { createNodeList } from './node-lists.ts'
import { createQuestion } from './question.ts'

interface ClusterCensusOptions {
  readonly local: Census
  readonly calls: Pick<Calls, 'on' | 'ask'>
  /** Random name of this process on the bus. */
  readonly instance: string
  /** NODE_ID of this node. */
  readonly node: string
}

const countsOf = ({ connections, opened, sent, delivered }: TenantSummary): readonly number[] => [
  connections,
  opened,
  sent,
  delivered,
]

function summaryOf(tenant: string, counts: readonly number[]): TenantSummary {
  const [connections = 0, opened = 0, sent = 0, delivered = 0] = counts
  return { tenant, connections, opened, sent, delivered }
}

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
  const list = (kind: string, read: Parameters<typeof createNodeList>[0]['read']) =>
    createNodeList({ calls, instance, kind, read })

  const listChannels = list('channels', async (tenant, range) => {
    const { channels } = await local.channels(tenant, range)
    return { names: channels.map(({ name }) => name), counts: channels.map(each => each.subscribers) }
  })
  const listNames = list('channel-names', (tenant, range) => ({
    names: local.here.channelNames(tenant, range),
    counts: [],
  }))
  const listSubscriptions = list('subscriptions', async (owner, range) => ({
    names: (await local.subscriptions(owner as Topic, range)).channels,
    counts: [],
  }))
  const listTenants = list('tenants', async (_, range) => {
    const { tenants } = await local.tenants(range)
    return { names: tenants.map(({ tenant }) => tenant), counts: tenants.flatMap(countsOf) }
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
    subscriptions: async (owner, range = {}) => {
      const channels: string[] = []
      const [count, { partial }] = await Promise.all([
        connections(owner),
        listSubscriptions(owner, owner, range, name => channels.push(name)),
      ])
      return { connections: count.connections, channels, partial: count.partial ?? partial }
    },
    channels: async (tenant, { after = '', limit = Number.POSITIVE_INFINITY } = {}) => {
      const channels: ChannelCount[] = []
      const topic = tenantTopic(tenant)
      const listed = await listChannels(topic, tenant, { after, limit }, (name, [subscribers = 0]) =>
        channels.push({ name, subscribers }),
      )
      const isWhole = after === '' && channels.length < limit
      if (isWhole) return { channels, total: channels.length, partial: listed.partial }
      let total = 0
      const counted = await listNames(topic, tenant, {}, () => {
        total++
      })
      return { channels, total, partial: listed.partial ?? counted.partial }
    },
    largestChannels: async (tenant, most) => {
      const largest = new Largest<ChannelCount>(most, bySize)
      const { partial } = await listChannels(tenantTopic(tenant), tenant, {}, (name, [subscribers = 0]) =>
        largest.add({ name, subscribers }),
      )
      return { channels: largest.end(), partial }
    },
    tenant: async tenant => {
      const [here, { answers, partial }] = await Promise.all([
        local.tenant(tenant),
        askTenant(ALL_NODES, tenant),
      ])
      return { ...sumReports([here, ...answers]), partial }
    },
    tenants: async (range = {}) => {
      const tenants: TenantSummary[] = []
      const { partial } = await listTenants(ALL_NODES, '', range, (tenant, counts) =>
        tenants.push(summaryOf(tenant, counts)),
      )
      return { tenants, partial }
    },
    nodes: async () => {
      const [here, { answers, partial }] = await Promise.all([local.nodes(), askNode(ALL_NODES, null)])
      const nodes = [...here.nodes, ...answers.flat()]
      return { nodes: nodes.sort((a, b) => byText(a.id, b.id) || byText(a.since, b.since)), partial }
    },
    here: local.here,
  }
}
