import { SortedNames } from '../lib/collections/sorted-names.ts'
import type { Target } from '../notification/target.ts'

/** Acknowledgement counts, one per notification and user. */
export interface AckCounts {
  tracked: number
  acked: number
  expired: number
  /** Sum of milliseconds from first delivery to acknowledgement, over `acked`. */
  latencyMs: number
}

/** Counters of one tenant since the start. */
export interface TenantTally {
  /** Accepted sends. */
  readonly sent: Record<Target['type'], number>
  /** Notification frames that a connection took. */
  delivered: number
  /** Notification frames that a connection refused. */
  failed: number
  /** Connections opened. */
  opened: number
  readonly acks: AckCounts
}

/** Counters by tenant; the node's numbers are sums over all tenants. */
export interface Tally {
  /** Record of a tenant; beyond MAX_TENANTS, new tenants share one record. */
  of(tenant: string): TenantTally
  /** Adds frames taken by connections of the tenant. */
  delivered(tenant: string, frames: number): void
  /** Reads the counters; zeros for a tenant without its own record. */
  find(tenant: string): Readonly<TenantTally>
  has(tenant: string): boolean
  /** Tenants with their own record. */
  readonly tenants: Pick<SortedNames, 'after'>
  total(): Readonly<TenantTally>
}

const MAX_TENANTS = 100_000

const nothing = (): TenantTally => ({
  sent: { user: 0, users: 0, broadcast: 0, channel: 0, channels: 0 },
  delivered: 0,
  failed: 0,
  opened: 0,
  acks: { tracked: 0, acked: 0, expired: 0, latencyMs: 0 },
})

function add(sum: TenantTally, { sent, delivered, failed, opened, acks }: Readonly<TenantTally>): void {
  sum.sent.user += sent.user
  sum.sent.users += sent.users
  sum.sent.broadcast += sent.broadcast
  sum.sent.channel += sent.channel
  sum.sent.channels += sent.channels
  sum.delivered += delivered
  sum.failed += failed
  sum.opened += opened
  sum.acks.tracked += acks.tracked
  sum.acks.acked += acks.acked
  sum.acks.expired += acks.expired
  sum.acks.latencyMs += acks.latencyMs
}

/** Sums counters of several tenants or nodes. */
export function sumTallies(tallies: Iterable<Readonly<TenantTally>>): Readonly<TenantTally> {
  const sum = nothing()
  for (const tally of tallies) add(sum, tally)
  return sum
}

/** Sums the sends over all kinds of targets. */
export const sentOf = ({ sent }: Pick<Readonly<TenantTally>, 'sent'>): number =>
  sent.user + sent.users + sent.broadcast + sent.channel + sent.channels

/** Makes the counters; `maxTenants` bounds their memory, however many tenants callers name. */
export function createTally(maxTenants = MAX_TENANTS): Tally {
  const records = new Map<string, TenantTally>()
  const tenants = new SortedNames()
  const others = nothing()
  const none: Readonly<TenantTally> = nothing()

  const make = (tenant: string): TenantTally => {
    if (records.size >= maxTenants) return others
    const record = nothing()
    records.set(tenant, record)
    tenants.add(tenant)
    return record
  }

  const of = (tenant: string): TenantTally => records.get(tenant) ?? make(tenant)

  return {
    of,
    delivered: (tenant, frames) => {
      of(tenant).delivered += frames
    },
    find: tenant => records.get(tenant) ?? none,
    has: tenant => records.has(tenant),
    tenants,
    total: () => sumTallies([others, ...records.values()]),
  }
}
