import type { Clock } from '../../lib/time/clock.ts'

/** Estimates the clock of Redis, milliseconds since 1970: never ahead of it. */
export interface RedisClock {
  now(): number
  /** Takes the time of a reply to a question that was asked at `askedAt`, monotonic milliseconds. */
  note(time: number, askedAt: number): void
}

/** Redis tells whole milliseconds, rounded down. */
const ROUNDING_MS = 1

export function createRedisClock({ monotonic }: Pick<Clock, 'monotonic'>): RedisClock {
  /** Least time by which the clock of Redis is ahead of ours. */
  let ahead = Number.NEGATIVE_INFINITY
  return {
    now: () => ahead + monotonic(),
    note: (time, askedAt) => {
      const least = time - monotonic()
      // A reply that this process handled late tells less than an earlier one.
      const isSetBack = ahead > time - askedAt + ROUNDING_MS
      if (least > ahead || isSetBack) ahead = least
    },
  }
}
