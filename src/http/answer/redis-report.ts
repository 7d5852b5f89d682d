import type { BreakerState } from '../../lib/redis/breaker.ts'
import type { LinkState } from '../../lib/redis/reconnecting-link.ts'

const statusOf = ({ connected, breaker }: LinkState) =>
  connected ? 'healthy' : breaker === 'open' ? 'circuit_open' : 'reconnecting'

export interface RedisReport {
  readonly status: 'healthy' | 'reconnecting' | 'circuit_open' | 'disabled'
  readonly connected: boolean
  readonly circuit_breaker_state: BreakerState
  readonly circuit_breaker_failures: number
  readonly reconnection_attempts: number
  readonly total_reconnections: number
}

const OFF: LinkState = { connected: false, breaker: 'closed', failures: 0, attempts: 0, reconnections: 0 }

/** Report on the trigger's connection to Redis; `disabled` without a trigger. */
export function redisReport(link: LinkState | undefined): RedisReport {
  const { connected, breaker, failures, attempts, reconnections } = link ?? OFF
  return {
    status: link === undefined ? 'disabled' : statusOf(link),
    connected,
    circuit_breaker_state: breaker,
    circuit_breaker_failures: failures,
    reconnection_attempts: attempts,
    total_reconnections: reconnections,
  }
}
