import type { Clock } from '../time/clock.ts'

export type BreakerState = 'closed' | 'open' | 'half_open'

/**
 * Decides whether a failing operation may be retried. It receives events, wraps no calls and has no timer: its
 * state is a function of time.
 */
export interface Breaker {
  /** `closed`: try. `open`: do not try. `half_open`: one failure opens it, enough successes close it. */
  readonly state: BreakerState
  /** Consecutive failures. */
  readonly failures: number
  /** Milliseconds until an open breaker becomes half-open, else 0. */
  readonly waitMs: number
  success(): void
  failure(): void
  /** Reports a successful probe: an open breaker becomes half-open. */
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
  /** Moment of the next permitted attempt; undefined while closed. */
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
