import { SortedNames } from '../lib/collections/sorted-names.ts'
import { channelOf, kindOf, type Topic, tenantOf } from '../notification/topic.ts'

/** Sorted tenants, and user counts and sorted channels by tenant, so that no look-up visits all rooms. */
export interface Directory {
  /** Adds a topic with its first member; `closed` removes one that lost its last. */
  opened(topic: Topic): void
  closed(topic: Topic): void
  /** Tenants with a connection. */
  readonly tenants: Pick<SortedNames, 'after'>
  /** Users of the tenant with a connection. */
  users(tenant: string): number
  /** Channels of the tenant with a subscriber. */
  channels(tenant: string): Pick<SortedNames, 'size' | 'after'>
}

const NOTHING = new SortedNames()

export function createDirectory(): Directory {
  const tenants = new SortedNames()
  const users = new Map<string, number>()
  const channels = new Map<string, SortedNames>()

  const count = (tenant: string, change: number): void => {
    const left = (users.get(tenant) ?? 0) + change
    if (left > 0) users.set(tenant, left)
    else users.delete(tenant)
  }

  const addChannel = (tenant: string, name: string): void => {
    const names = channels.get(tenant) ?? new SortedNames()
    names.add(name)
    channels.set(tenant, names)
  }

  const removeChannel = (tenant: string, name: string): void => {
    const names = channels.get(tenant)
    names?.delete(name)
    if (names?.size === 0) channels.delete(tenant)
  }

  return {
    opened: topic => {
      const tenant = tenantOf(topic)
      const channel = channelOf(topic, tenant)
      if (kindOf(topic) === 'user') count(tenant, 1)
      else if (channel === undefined) tenants.add(tenant)
      else addChannel(tenant, channel)
    },
    closed: topic => {
      const tenant = tenantOf(topic)
      const channel = channelOf(topic, tenant)
      if (kindOf(topic) === 'user') count(tenant, -1)
      else if (channel === undefined) tenants.delete(tenant)
      else removeChannel(tenant, channel)
    },
    tenants,
    users: tenant => users.get(tenant) ?? 0,
    channels: tenant => channels.get(tenant) ?? NOTHING,
  }
}
