import type { Hub } from '../hub/hub.ts'
import { subscriptionsOf } from '../hub/subscriptions.ts'
import { Largest } from '../lib/collections/largest.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import { channelOf, channelTopic, type Topic, tenantOf, tenantTopic } from '../notification/topic.ts'
import { sentOf, type Tally } from '../observe/tally.ts'
import { DEFAULT_TENANT } from '../protocol/names.ts'
import type { Census, ChannelCount, ChannelRange, NodeIdentity, TenantSummary } from './census.ts'

/** Names per page; other work may run between two pages. */
const PAGE = 500

const bySize = (a: { readonly subscribers: number }, b: { readonly subscribers: number }): number =>
  b.subscribers - a.subscribers

/** `orders`, or `acme:orders` for a tenant other than the default one. Names contain no colon. */
const fullNameOf = (topic: Topic): string => {
  const tenant = tenantOf(topic)
  const name = channelOf(topic, tenant) ?? ''
  return tenant === DEFAULT_TENANT ? name : `${tenant}:${name}`
}

function* channelsOf(
  { directory, members }: Hub,
  tenant: string,
  { after, limit = Number.POSITIVE_INFINITY }: ChannelRange = {},
): Generator<ChannelCount> {
  const names = directory.channels(tenant)
  let last = after
  for (let left = limit; left > 0; left -= PAGE) {
    const page = names.after(last, Math.min(PAGE, left))
    for (const name of page) yield { name, subscribers: members(channelTopic(tenant, name)).size }
    last = page.at(-1)
    if (last === undefined) return
  }
}

interface LocalCensusOptions {
  readonly hub: Hub
  readonly tally: Pick<Tally, 'find' | 'has' | 'tenants'>
  readonly node: NodeIdentity
}

/** Counts the connections of this node. Long lists are read in several turns of the event loop. */
export function createLocalCensus({ hub, tally, node }: LocalCensusOptions): Census {
  const connectionsOf = (tenant: string): number => hub.members(tenantTopic(tenant)).size

  const summaryOf = (tenant: string): TenantSummary => {
    const record = tally.find(tenant)
    const { opened, delivered } = record
    return { tenant, connections: connectionsOf(tenant), opened, sent: sentOf(record), delivered }
  }

  return {
    connections: topic => hub.members(topic).size,
    subscriptions: owner => {
      const connections = [...hub.members(owner)]
      return {
        connections: connections.length,
        channels: [...new Set(connections.flatMap(subscriptionsOf))].sort(),
      }
    },
    channels: async (tenant, page) => {
      const channels: ChannelCount[] = []
      await inTurns(channelsOf(hub, tenant, page), channel => channels.push(channel))
      return { channels, total: hub.directory.channels(tenant).size }
    },
    largestChannels: async (tenant, most) => {
      const largest = new Largest<ChannelCount>(most, bySize)
      await inTurns(channelsOf(hub, tenant), channel => largest.add(channel))
      return largest.end()
    },
    tenant: tenant => {
      const connections = connectionsOf(tenant)
      return {
        isKnown: connections > 0 || tally.has(tenant),
        connections,
        users: hub.directory.users(tenant),
        tally: tally.find(tenant),
      }
    },
    tenants: async () => {
      const known = new Set<string>()
      await inTurns(tally.tenants(), tenant => known.add(tenant))
      await inTurns(hub.rooms('tenant'), ({ topic }) => known.add(tenantOf(topic)))
      const tenants: TenantSummary[] = []
      await inTurns(known, tenant => tenants.push(summaryOf(tenant)))
      return tenants
    },
    nodes: () => [{ ...node, connections: hub.size }],
    here: {
      totals: () => ({
        connections: hub.size,
        byTransport: hub.transports,
        users: hub.count('user'),
        channels: hub.count('channel'),
      }),
      largestChannels: async most => {
        if (most === 0) return []
        const largest = new Largest<{ readonly topic: Topic; readonly subscribers: number }>(most, bySize)
        await inTurns(hub.rooms('channel'), ({ topic, members }) =>
          largest.add({ topic, subscribers: members.size }),
        )
        return largest.end().map(({ topic, subscribers }) => ({ name: fullNameOf(topic), subscribers }))
      },
    },
  }
}
