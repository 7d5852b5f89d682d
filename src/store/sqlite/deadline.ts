/** How long callers wait, in ticks. A long commit that makes progress is not an outage. */
export interface Deadline {
  /** Ticks so far. */
  readonly now: number
  /** Counts one tick. */
  tick(): void
  /** Whether a call made at that tick has waited too long. */
  isOverdue(askedAt: number): boolean
}

/**
 * Together a little less than a second. Counts ticks, not clock time: while this process is suspended no tick passes, so
 * the other thread is not blamed.
 */
export const TICK_MS = 100
export const WAIT_TICKS = 9
/** Upper limit, however much work the writer has. */
const LONGEST_TICKS = 50

/** The writer counts up `work` after each STEP entries of one batch. Small batches never count it up. */
export function createDeadline(work: BigInt64Array): Deadline {
  let now = 0
  let seen = 0n
  /** Tick at which the writer last made progress on a large batch. */
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
