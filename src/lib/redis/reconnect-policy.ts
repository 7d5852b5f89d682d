import type { Clock } from '../time/clock.ts'
import { createBackoff } from './backoff.ts'
import { type Breaker, createBreaker } from './breaker.ts'

/** How long a Redis that is away is tried again and again, as the settings say. */
export interface ReconnectSettings {
  readonly redisCircuitBreakerFailureThreshold: number
  readonly redisCircuitBreakerSuccessThreshold: number
  readonly redisCircuitBreakerResetTimeoutSeconds: number
  readonly redisBackoffInitialDelayMs: number
  readonly redisBackoffMaxDelayMs: number
}

interface ReconnectPolicy {
  readonly breaker: Breaker
  /** Milliseconds to wait before try n. */
  readonly backoff: (n: number) => number
  /** How often it is looked whether Redis is back, whatever the two say, milliseconds. */
  readonly probeMs: number
}

const PROBE_MS = 2_000

/** Of one connection: each has a breaker of its own. */
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
