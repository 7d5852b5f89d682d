import type { Hub } from '../hub/hub.ts'
import { subscriptionsOf } from '../hub/subscriptions.ts'
import { Largest } from '../lib/collections/largest.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import { channelOf, channelTopic, type Topic, tenantOf } from '../notification/topic.ts'
import { DEFAULT_TENANT } from '../protocol/names.ts'
import type { Census, ChannelCount, ChannelRange, NodeIdentity, TenantCount } from './census.ts'

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

/** Counts the connections of this node. Long lists are read in several turns of the event loop. */
export function createLocalCensus(hub: Hub, node: NodeIdentity): Census {
  return {
    connections: topic => hub.members(topic).size,
    users: tenant => hub.directory.users(tenant),
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
    tenants: async () => {
      const tenants: TenantCount[] = []
      await inTurns(hub.rooms('tenant'), ({ topic, members }) =>
        tenants.push({ tenant: tenantOf(topic), connections: members.size }),
      )
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
