import type { Hub } from '../hub/hub.ts'
import { subscriptionsOf } from '../hub/subscriptions.ts'
import { Largest } from '../lib/collections/largest.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import { channelOf, channelTopic, type Topic, tenantOf, tenantTopic } from '../notification/topic.ts'
import { sentOf, type Tally } from '../observe/tally.ts'
import { DEFAULT_TENANT } from '../protocol/names.ts'
import {
  bySize,
  type Census,
  type ChannelCount,
  type NameRange,
  type NodeIdentity,
  type TenantSummary,
} from './census.ts'

/** Names per page; other work may run between two pages. */
const PAGE = 500

/** `orders`, or `acme:orders` for a tenant other than the default one. Names contain no colon. */
const fullNameOf = (topic: Topic): string => {
  const tenant = tenantOf(topic)
  const name = channelOf(topic, tenant) ?? ''
  return tenant === DEFAULT_TENANT ? name : `${tenant}:${name}`
}

/** Walks names in order, a page at a time. `page` lists at most `limit` names after one. */
function* namesOf(
  page: (after: string | undefined, limit: number) => readonly string[],
  { after, limit = Number.POSITIVE_INFINITY }: NameRange = {},
): Generator<string> {
  let last = after
  for (let left = limit; left > 0; left -= PAGE) {
    const names = page(last, Math.min(PAGE, left))
    yield* names
    last = names.at(-1)
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

  const channelsOf = function* (tenant: string, range?: NameRange): Generator<ChannelCount> {
    const names = hub.directory.channels(tenant)
    for (const name of namesOf((after, limit) => names.after(after, limit), range))
      yield { name, subscribers: hub.members(channelTopic(tenant, name)).size }
  }

  /** Tenants with a counter or a connection. A tenant has no record beyond the bound on records. */
  const tenantNames = (after: string | undefined, limit: number): readonly string[] => {
    const connected = hub.directory.tenants.after(after, limit)
    const names = new Set([...tally.tenants.after(after, limit), ...connected])
    return [...names].sort().slice(0, limit)
  }

  return {
    connections: topic => ({ connections: hub.members(topic).size }),
    subscriptions: (owner, { after = '', limit } = {}) => {
      const connections = [...hub.members(owner)]
      const names = new Set(connections.flatMap(subscriptionsOf).filter(name => name > after))
      return { connections: connections.length, channels: [...names].sort().slice(0, limit) }
    },
    channels: async (tenant, range) => {
      const channels: ChannelCount[] = []
      await inTurns(channelsOf(tenant, range), channel => channels.push(channel))
      return { channels, total: hub.directory.channels(tenant).size }
    },
    largestChannels: async (tenant, most) => {
      const largest = new Largest<ChannelCount>(most, bySize)
      await inTurns(channelsOf(tenant), channel => largest.add(channel))
      return { channels: largest.end() }
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
    tenants: async range => {
      const tenants: TenantSummary[] = []
      await inTurns(namesOf(tenantNames, range), tenant => tenants.push(summaryOf(tenant)))
      return { tenants }
    },
    nodes: () => ({ nodes: [{ ...node, connections: hub.size }] }),
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
        await inTurns(hub.rooms('channel'), ({ topic, size }) => largest.add({ topic, subscribers: size }))
        return largest.end().map(({ topic, subscribers }) => ({ name: fullNameOf(topic), subscribers }))
      },
      channelNames: (tenant, { after, limit = Number.POSITIVE_INFINITY }) =>
        hub.directory.channels(tenant).after(after, limit),
    },
  }
}
