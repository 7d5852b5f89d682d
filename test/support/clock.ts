import type { Clock } from '../../src/lib/clock.ts'

/** The system's clock, which a test can move forward. */
export interface TestClock extends Clock {
  jump(seconds: number): void
}

export function createTestClock(): TestClock {
  let ahead = 0
  return {
    now: () => Date.now() + ahead,
    monotonic: () => performance.now() + ahead,
    jump: seconds => {
      ahead += seconds * 1000
    },
  }
}
