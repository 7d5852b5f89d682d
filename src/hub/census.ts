import { Largest } from '../lib/collections/largest.ts'
import { inTurns } from '../lib/flow/in-turns.ts'
import { channelOf, channelTopic, type Topic, tenantOf, tenantTopic } from '../notification/topic.ts'
import { DEFAULT_TENANT } from '../protocol/names.ts'
import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'

export interface ChannelCount {
  readonly name: string
  readonly subscribers: number
}

/** Names per page; a caller may pause between two pages. */
const PAGE = 500

export const countConnections = (hub: Hub, tenant: string): number => hub.members(tenantTopic(tenant)).size

/** How many users of the tenant have a connection. */
export const countUsers = (hub: Hub, tenant: string): number => hub.directory.users(tenant)

/** Channels of the tenant with a subscriber and their number of connections: by name, at most `limit` after `after`. */
export function* channelsOf(
  { directory, members }: Hub,
  tenant: string,
  { after, limit = Number.POSITIVE_INFINITY }: { readonly after?: string; readonly limit?: number } = {},
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

/** The channels of the tenant with the most subscribers, largest first, then by name. */
export async function largestOf(hub: Hub, tenant: string, most: number): Promise<readonly ChannelCount[]> {
  const largest = new Largest<ChannelCount>(most, (a, b) => b.subscribers - a.subscribers)
  await inTurns(channelsOf(hub, tenant), channel => largest.add(channel))
  return largest.end()
}

/** As `orders`, of another tenant than the default one as `acme:orders`: a name holds no colon. */
const fullNameOf = (topic: Topic): string => {
  const tenant = tenantOf(topic)
  const name = channelOf(topic, tenant) ?? ''
  return tenant === DEFAULT_TENANT ? name : `${tenant}:${name}`
}

/** The channels of all tenants with the most subscribers, largest first; at most `most`. */
export async function largestChannels(hub: Hub, most: number): Promise<readonly ChannelCount[]> {
  if (most === 0) return []
  const largest = new Largest<{ readonly topic: Topic; readonly subscribers: number }>(
    most,
    (a, b) => b.subscribers - a.subscribers,
  )
  await inTurns(hub.rooms('channel'), ({ topic, members }) =>
    largest.add({ topic, subscribers: members.size }),
  )
  return largest.end().map(({ topic, subscribers }) => ({ name: fullNameOf(topic), subscribers }))
}

/** The channels that a connection subscribes to, in the order in which it did. */
export const subscriptionsOf = ({ channels = new Set(), principal }: Connection): readonly string[] =>
  [...channels].flatMap(topic => channelOf(topic, principal.tenant) ?? [])
