import type { Clock } from '../lib/time/clock.ts'
import { createSteadyClock } from '../lib/time/steady-clock.ts'
import type { Logger } from './log.ts'

/** Delay of due work in the event loop. */
export interface Lag extends Disposable {
  /** Longest delay of the last 15 to 30 seconds, so that usual scrapes miss none. */
  readonly seconds: number
}

/** Measures the delay of a tick due every TICK_MS; all moments are monotonic milliseconds. */
interface Delays {
  came(now: number): void
  /** Includes the delay of a tick that is still missing. */
  longest(now: number): number
}

export const TICK_MS = 100
const SPAN_MS = 15_000

export function createDelays(start: number): Delays {
  let dueAt = start + TICK_MS
  let spanEndsAt = start + SPAN_MS
  let longestMs = 0
  let longestBeforeMs = 0

  return {
    came: now => {
      if (now >= spanEndsAt) {
        longestBeforeMs = longestMs
        longestMs = 0
        spanEndsAt = now + SPAN_MS
      }
      longestMs = Math.max(longestMs, now - dueAt)
      dueAt = now + TICK_MS
    },
    longest: now => Math.max(longestMs, longestBeforeMs, now - dueAt, 0),
  }
}

/** Measures the lag, and logs each jump of the wall clock once. Tokens and timestamps follow a jump; ages in logs do not. */
export function watchTime(clock: Clock, logger: Logger): Lag {
  const steady = createSteadyClock(clock, {
    onJump: ms => logger.warn({ seconds: Math.round(ms / 1000) }, 'clock.jumped'),
  })
  const delays = createDelays(clock.monotonic())
  const timer = setInterval(() => {
    delays.came(clock.monotonic())
    steady.now()
  }, TICK_MS)
  timer.unref()

  return {
    get seconds() {
      return delays.longest(clock.monotonic()) / 1000
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
