import { readFileSync } from 'node:fs'

/** Where time comes from. `now` for timestamps and expiry; `monotonic` for everything that measures a span. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number
  /** Milliseconds since some fixed moment; never goes back, whatever happens to the wall clock. */
  monotonic(): number
  /** Milliseconds since the machine started; undefined where that is not known. */
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
