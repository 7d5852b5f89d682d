import type { Clock } from '../../lib/time/clock.ts'

/** How long a worker may believe that it and its siblings are alone on the bus, without asking again. */
export const LEASE_MS = 1_000
/** A node waits so long for leases of workers that do not know it; longer than a lease, since clocks differ. */
export const STRANGER_MS = 1_100

/**
 * Knowledge with an end: this worker and its siblings are alone on the bus. The end counts from before the question, so a
 * process that was frozen finds it passed before it publishes.
 */
export interface Lease {
  isHeld(): boolean
  /** The question whose answer grants it was asked at that moment. */
  renew(askedAt: number): void
  end(): void
}

export function createLease(clock: Pick<Clock, 'monotonic'>): Lease {
  let endsAt = Number.NEGATIVE_INFINITY
  return {
    isHeld: () => clock.monotonic() < endsAt,
    renew: askedAt => {
      endsAt = askedAt + LEASE_MS
    },
    end: () => {
      endsAt = Number.NEGATIVE_INFINITY
    },
  }
}

/** Numbers of subscribers, of one moment. */
export interface Subscribers {
  /** Subscribers of the topic of all nodes, or of all holders of leases. */
  readonly all: number
  /** Subscribers of this worker's own topic, and of that of each sibling. */
  readonly known: readonly number[]
}

/** Whether no other node is on the bus. A node without its subscription may hide another one, so each counts. */
export const areAlone = ({ all, known }: Subscribers): boolean =>
  known.every(count => count === 1) && all === known.length

/** Holders of leases that do not know this node. */
export const strangersIn = ({ all, known }: Subscribers): number =>
  all - known.filter(count => count > 0).length
