import type { Clock } from '../../src/lib/time/clock.ts'

/** System clock that a test can move forward. */
export interface TestClock extends Clock {
  /** Lets time pass. */
  jump(seconds: number): void
  /** Sets the wall clock, like an operator or a time service. */
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

/** Creates a clock that starts at the system time and moves only by the test. */
export function createStoppedClock(): TestClock {
  // Whole milliseconds: after a jump by 1 s a fraction may leave 999.9999 ms.
  let [now, monotonic] = [Date.now(), Math.floor(performance.now())]
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
