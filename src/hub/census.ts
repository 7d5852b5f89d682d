import { channelOf, tenantOf, tenantTopic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'

const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : 1

const connectionsOf = (hub: Hub, tenant: string): ReadonlySet<Connection> => hub.members(tenantTopic(tenant))

export const countConnections = (hub: Hub, tenant: string): number => connectionsOf(hub, tenant).size

/** How many users of the tenant have a connection. */
export function countUsers(hub: Hub, tenant: string): number {
  const connections = connectionsOf(hub, tenant)
  if (connections.size === hub.size) return hub.count('user')
  return new Set([...connections].map(({ principal }) => principal.user)).size
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

/** The channels that a connection subscribes to, in the order in which it did. */
export const subscriptionsOf = ({ rooms, principal }: Connection): readonly string[] =>
  [...rooms.keys()].flatMap(topic => channelOf(topic, principal.tenant) ?? [])

/** Tenants with a connection. */
export const tenantsOf = (hub: Hub): readonly string[] =>
  [...hub.rooms('tenant')].map(({ topic }) => tenantOf(topic))
