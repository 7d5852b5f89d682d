import { readFileSync } from 'node:fs'

/** Source of time: `now` for timestamps and expiry, `monotonic` for durations. */
export interface Clock {
  /** Reads the wall clock, milliseconds since 1970. */
  now(): number
  /** Milliseconds since a fixed moment; never goes back, even if the wall clock does. */
  monotonic(): number
  /** Milliseconds since the machine started; undefined if unknown. */
  uptime?(): number | undefined
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  uptime: () => {
    try {
      return Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1_000
    } catch {
      return undefined
    }
  },
}
