import type { Clock } from '../../lib/time/clock.ts'
import { TimerWheel } from '../../lib/time/timer-wheel.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Revocations } from '../revocations.ts'

interface Revocation {
  /** Milliseconds since 1970. */
  readonly before: number
  /** In force up to and including this moment; monotonic, so that a jump of the wall clock changes nothing. */
  readonly endsAt: number
}

/** As in `Revocations.revoke`. */
interface RevocationRecord {
  readonly owner: Topic
  readonly before: number
  readonly until: number
}

interface MemoryRevocationsOptions {
  readonly clock: Clock
  /** Maximum number of users with a revocation in force, per tenant. */
  readonly maxPerTenant: number
  /** Revocations from an earlier run. Accepted even beyond `maxPerTenant`. */
  readonly recorded?: Iterable<RevocationRecord>
}

/** Slot width of the ends; each revocation still ends at its exact moment. */
const SLOT_MS = 60_000

/** Keeps revocations in this process; none is removed before its end. */
export function memoryRevocations({
  clock,
  maxPerTenant,
  recorded = [],
}: MemoryRevocationsOptions): Revocations {
  const revocations = new Map<Topic, Revocation>()
  const counts = new Map<string, number>()
  const ends = new TimerWheel<Topic>(SLOT_MS, clock.monotonic())

  const count = (owner: Topic, change: number): void => {
    const tenant = tenantOf(owner)
    const left = (counts.get(tenant) ?? 0) + change
    if (left > 0) counts.set(tenant, left)
    else counts.delete(tenant)
  }

  const record = ({ owner, before, until }: RevocationRecord): void => {
    const known = revocations.get(owner)
    if (known === undefined) count(owner, 1)
    const end = clock.monotonic() + until - clock.now()
    const endsAt = Math.max(end, known?.endsAt ?? end)
    revocations.set(owner, { before: Math.max(before, known?.before ?? before), endsAt })
    // In force up to and including `endsAt`.
    ends.set(owner, endsAt + 1)
  }

  const isInForce = ({ endsAt }: Revocation): boolean => clock.monotonic() <= endsAt

  const forgetEnded = (): void => {
    for (const owner of ends.take(clock.monotonic())) {
      revocations.delete(owner)
      count(owner, -1)
    }
  }

  for (const each of recorded) record(each)

  return {
    revoke: async (owner, before, until) => {
      forgetEnded()
      const isFull = !revocations.has(owner) && (counts.get(tenantOf(owner)) ?? 0) >= maxPerTenant
      if (isFull) return 'full'
      record({ owner, before, until })
      return 'revoked'
    },
    before: owner => {
      const found = revocations.get(owner)
      return found !== undefined && isInForce(found) ? found.before : undefined
    },
  }
}
