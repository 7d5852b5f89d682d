import type { Clock } from '../time/clock.ts'

export type BreakerState = 'closed' | 'open' | 'half_open'

/**
 * Says whether something that keeps failing may be tried again. Fed with events; it wraps no calls and has no timer: its
 * state is a function of the time.
 */
export interface Breaker {
  /** `closed`: try. `open`: do not. `half_open`: one failure opens it again, enough successes close it. */
  readonly state: BreakerState
  /** In a row. */
  readonly failures: number
  /** Milliseconds until it is half-open by itself; 0 unless it is open. */
  readonly waitMs: number
  success(): void
  failure(): void
  /** Something else has shown that it may work again: open becomes half-open. */
  probed(): void
}

interface BreakerOptions {
  readonly failureThreshold: number
  readonly successThreshold: number
  readonly resetMs: number
  readonly clock: Pick<Clock, 'monotonic'>
}

export function createBreaker({
  failureThreshold,
  successThreshold,
  resetMs,
  clock,
}: BreakerOptions): Breaker {
  /** When it may be tried again; undefined while it is closed. */
  let opensAt: number | undefined
  let failures = 0
  let successes = 0

  const waitMs = (): number => (opensAt === undefined ? 0 : Math.max(0, opensAt - clock.monotonic()))
  const state = (): BreakerState => (opensAt === undefined ? 'closed' : waitMs() > 0 ? 'open' : 'half_open')

  return {
    get state() {
      return state()
    },
    get failures() {
      return failures
    },
    get waitMs() {
      return waitMs()
    },
    success: () => {
      failures = 0
      if (opensAt === undefined || state() === 'open') return
      if (++successes >= successThreshold) opensAt = undefined
    },
    failure: () => {
      failures++
      if (opensAt === undefined && failures < failureThreshold) return
      if (state() === 'open') return
      opensAt = clock.monotonic() + resetMs
      successes = 0
    },
    probed: () => {
      if (state() === 'open') opensAt = clock.monotonic()
    },
  }
}
