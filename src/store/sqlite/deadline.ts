/** How long callers wait, in ticks. A long commit that goes on is not a store that is away. */
export interface Deadline {
  /** Ticks so far. */
  readonly now: number
  /** One tick has passed. */
  tick(): void
  /** Whether a call that was asked at that tick has waited too long. */
  isOverdue(askedAt: number): boolean
}

/**
 * Together a little less than a second. Ticks and not a clock: a process that stood still itself has no reason to think
 * that the other thread did.
 */
export const TICK_MS = 100
export const WAIT_TICKS = 9
/** However much the writer has to do. */
const LONGEST_TICKS = 50

/** The writer counts up `work` after each STEP entries of one batch; small batches never do. */
export function createDeadline(work: BigInt64Array): Deadline {
  let now = 0
  let seen = 0n
  /** When the writer was last seen to get on with much work. */
  let movedAt = Number.NEGATIVE_INFINITY

  return {
    get now() {
      return now
    },
    tick: () => {
      now++
      const done = Atomics.load(work, 0)
      if (done === seen) return
      seen = done
      movedAt = now
    },
    isOverdue: askedAt => now - Math.max(askedAt, movedAt) >= WAIT_TICKS || now - askedAt >= LONGEST_TICKS,
  }
}
