import type { Clock } from '../../src/lib/time/clock.ts'

/** The system's clock, which a test can move forward. */
export interface TestClock extends Clock {
  /** Time passes. */
  jump(seconds: number): void
  /** An operator or a time service sets the wall clock. */
  setAhead(seconds: number): void
}

export function createTestClock(): TestClock {
  let ahead = 0
  let set = 0
  return {
    now: () => Date.now() + ahead + set,
    monotonic: () => performance.now() + ahead,
    jump: seconds => {
      ahead += seconds * 1000
    },
    setAhead: seconds => {
      set += seconds * 1000
    },
  }
}

/** Starts at the system's time, and then moves only when a test says so. */
export function createStoppedClock(): TestClock {
  let [now, monotonic] = [Date.now(), performance.now()]
  return {
    now: () => now,
    monotonic: () => monotonic,
    jump: seconds => {
      now += seconds * 1000
      monotonic += seconds * 1000
    },
    setAhead: seconds => {
      now += seconds * 1000
    },
  }
}
