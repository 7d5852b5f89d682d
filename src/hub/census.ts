import { DEFAULT_TENANT } from '../notification/names.ts'
import { channelOf, type Topic, tenantOf, tenantTopic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'
import type { Members } from './members.ts'
import type { Room } from './room.ts'

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : 1

const connectionsOf = (hub: Hub, tenant: string): Members => hub.members(tenantTopic(tenant))

export const countConnections = (hub: Hub, tenant: string): number => connectionsOf(hub, tenant).size

/** How many users of the tenant have a connection. */
export function countUsers(hub: Hub, tenant: string): number {
  const connections = connectionsOf(hub, tenant)
  if (connections.size === hub.size) return hub.count('user')
  return new Set([...connections].map(({ principal }) => principal.user)).size
}

/** Open connections by transport. */
export function countTransports(hub: Hub): Readonly<Record<'ws' | 'sse', number>> {
  const open = { ws: 0, sse: 0 }
  for (const { transport } of hub.connections()) open[transport]++
  return open
}

/** Channels of the tenant with a subscriber, by name, and how many connections subscribe. */
export function channelsOf(
  hub: Hub,
  tenant: string,
): readonly { readonly name: string; readonly subscribers: number }[] {
  const channels: { readonly name: string; readonly subscribers: number }[] = []
  for (const { topic, members } of hub.rooms('channel')) {
    const name = channelOf(topic, tenant)
    if (name !== undefined) channels.push({ name, subscribers: members.size })
  }
  return channels.sort(byName)
}

/** Puts a room at its place among the largest, of which at most so many are kept. */
function rank(largest: Room[], room: Room, most: number): void {
  const at = largest.findLastIndex(({ members }) => members.size >= room.members.size) + 1
  largest.splice(at, 0, room)
  if (largest.length > most) largest.pop()
}

/** As `orders`, of another tenant than the default one as `acme:orders`: a name holds no colon. */
const fullNameOf = (topic: Topic): string => {
  const tenant = tenantOf(topic)
  const name = channelOf(topic, tenant) ?? ''
  return tenant === DEFAULT_TENANT ? name : `${tenant}:${name}`
}

/** The channels of all tenants with the most subscribers, largest first; at most `most`. */
export function largestChannels(
  hub: Hub,
  most: number,
): readonly { readonly name: string; readonly subscribers: number }[] {
  if (most === 0) return []
  const largest: Room[] = []
  for (const room of hub.rooms('channel')) {
    const isOut = largest.length === most && room.members.size <= (largest.at(-1)?.members.size ?? 0)
    if (!isOut) rank(largest, room, most)
  }
  return largest.map(({ topic, members }) => ({ name: fullNameOf(topic), subscribers: members.size }))
}

/** The channels that a connection subscribes to, in the order in which it did. */
export const subscriptionsOf = ({ channels = new Set(), principal }: Connection): readonly string[] =>
  [...channels].flatMap(topic => channelOf(topic, principal.tenant) ?? [])

/** Tenants with a connection. */
export const tenantsOf = (hub: Hub): readonly string[] =>
  [...hub.rooms('tenant')].map(({ topic }) => tenantOf(topic))
