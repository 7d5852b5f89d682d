import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Topic } from '../notification/topic.ts'
import type { TenantTally } from '../observe/tally.ts'

/** Look-ups over all open connections, as plain data. Counts are numbers of connections unless named otherwise. */
export interface Census {
  /** Connections in a user's, channel's or tenant's topic. */
  connections(topic: Topic): Awaitable<ConnectionCount>
  subscriptions(owner: Topic, range?: NameRange): Awaitable<UserSubscriptions>
  /** Channels of the tenant with a subscriber, by name. */
  channels(tenant: string, range?: NameRange): Promise<ChannelPage>
  /** The channels of the tenant with the most subscribers, largest first, then by name. */
  largestChannels(tenant: string, most: number): Promise<LargestChannels>
  tenant(tenant: string): Awaitable<TenantReport>
  /** Known tenants, by name. */
  tenants(range?: NameRange): Promise<TenantPage>
  nodes(): Awaitable<NodeList>
  /** This node alone. */
  readonly here: LocalCensus
}

/** Look-ups that never leave the node: for its own health and metrics, and for what it tells other nodes. */
export interface LocalCensus {
  totals(): NodeTotals
  /** The channels of all tenants with the most subscribers, largest first. A foreign tenant's name is `tenant:channel`. */
  largestChannels(most: number): Promise<readonly ChannelCount[]>
  /** Names of the tenant's channels with a subscriber. */
  channelNames(tenant: string, range: NameRange): readonly string[]
}

/** A result over several nodes. */
export interface NodesResult {
  /** A node did not answer: its part is missing. */
  readonly partial?: true | undefined
}

export interface ConnectionCount extends NodesResult {
  readonly connections: number
  /** Nodes with such a connection, by id; undefined without a bus. */
  readonly nodes?: readonly NodeConnections[] | undefined
}

export interface NodeConnections {
  /** NODE_ID of the node. */
  readonly node: string
  readonly connections: number
}

export interface UserSubscriptions extends NodesResult {
  readonly connections: number
  /** Channel names, unique and sorted. */
  readonly channels: readonly string[]
}

/** Orders channels by size, largest first. */
export const bySize = (a: Pick<ChannelCount, 'subscribers'>, b: Pick<ChannelCount, 'subscribers'>): number =>
  b.subscribers - a.subscribers

/** At most `limit` names after `after`; without them all from the first. */
export interface NameRange {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

export interface ChannelPage extends NodesResult {
  readonly channels: readonly ChannelCount[]
  /** All channels of the tenant, on this page or not. */
  readonly total: number
}

export interface LargestChannels extends NodesResult {
  readonly channels: readonly ChannelCount[]
}

export interface ChannelCount {
  readonly name: string
  readonly subscribers: number
}

export interface TenantReport extends NodesResult {
  /** The tenant has a connection, or a counter above zero since the start. */
  readonly isKnown: boolean
  readonly connections: number
  /** Users with a connection; one on two nodes counts twice. */
  readonly users: number
  readonly tally: Readonly<TenantTally>
}

export interface TenantPage extends NodesResult {
  readonly tenants: readonly TenantSummary[]
}

export interface TenantSummary {
  readonly tenant: string
  readonly connections: number
  /** Connections opened, sends accepted and frames delivered since the start. */
  readonly opened: number
  readonly sent: number
  readonly delivered: number
}

/** A node of the cluster. */
export interface NodeIdentity {
  readonly id: string
  readonly version: string
  /** When it started, RFC 3339. */
  readonly since: string
}

export interface NodeList extends NodesResult {
  /** By id, then by start. */
  readonly nodes: readonly NodeCount[]
}

export interface NodeCount extends NodeIdentity {
  readonly connections: number
}

export interface NodeTotals {
  readonly connections: number
  readonly byTransport: Readonly<Record<'ws' | 'sse', number>>
  /** Users with a connection and channels with a subscriber, of all tenants. */
  readonly users: number
  readonly channels: number
}
