import type { Clock } from '../time/clock.ts'
import { createBackoff } from './backoff.ts'
import { type Breaker, createBreaker } from './breaker.ts'

/** Settings for reconnecting to Redis. */
export interface ReconnectSettings {
  readonly redisCircuitBreakerFailureThreshold: number
  readonly redisCircuitBreakerSuccessThreshold: number
  readonly redisCircuitBreakerResetTimeoutSeconds: number
  readonly redisBackoffInitialDelayMs: number
  readonly redisBackoffMaxDelayMs: number
}

interface ReconnectPolicy {
  readonly breaker: Breaker
  /** Milliseconds to wait before attempt n. */
  readonly backoff: (n: number) => number
  /** Interval of probes that ignore back-off and breaker, milliseconds. */
  readonly probeMs: number
}

const PROBE_MS = 2_000

/** Makes the policy of one connection; each connection has its own breaker. */
export const reconnectPolicyOf = (
  settings: ReconnectSettings,
  clock: Pick<Clock, 'monotonic'>,
): ReconnectPolicy => ({
  breaker: createBreaker({
    failureThreshold: settings.redisCircuitBreakerFailureThreshold,
    successThreshold: settings.redisCircuitBreakerSuccessThreshold,
    resetMs: settings.redisCircuitBreakerResetTimeoutSeconds * 1000,
    clock,
  }),
  backoff: createBackoff({
    initialMs: settings.redisBackoffInitialDelayMs,
    maxMs: settings.redisBackoffMaxDelayMs,
  }),
  probeMs: PROBE_MS,
})
