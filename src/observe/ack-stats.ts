import { type Topic, tenantOf } from '../notification/topic.ts'

/** What became of acknowledgements of one tenant since start, in pairs of notification and user. */
export interface AckCounts {
  readonly tracked: number
  readonly acked: number
  readonly expired: number
  /** From the first delivery to the acknowledgement, summed over `acked`. */
  readonly latencyMs: number
}

/** Counts acknowledgements for each tenant. */
export interface AckStats {
  tracked(owner: Topic, count: number): void
  acked(owner: Topic, latencyMs: number): void
  expired(owner: Topic): void
  of(tenant: string): AckCounts
}

type Counts = { -readonly [K in keyof AckCounts]: AckCounts[K] }

/** Tenants counted by themselves; whoever comes later shares one record. */
const MAX_TENANTS = 100_000

const nothing = (): Counts => ({ tracked: 0, acked: 0, expired: 0, latencyMs: 0 })

export function createAckStats(): AckStats {
  const tenants = new Map<string, Counts>()
  const others = nothing()

  const countsOf = (owner: Topic): Counts => {
    const tenant = tenantOf(owner)
    const known = tenants.get(tenant)
    if (known !== undefined) return known
    if (tenants.size >= MAX_TENANTS) return others
    const counts = nothing()
    tenants.set(tenant, counts)
    return counts
  }

  return {
    tracked: (owner, count) => {
      countsOf(owner).tracked += count
    },
    acked: (owner, latencyMs) => {
      const counts = countsOf(owner)
      counts.acked++
      counts.latencyMs += latencyMs
    },
    expired: owner => {
      countsOf(owner).expired++
    },
    of: tenant => tenants.get(tenant) ?? nothing(),
  }
}
