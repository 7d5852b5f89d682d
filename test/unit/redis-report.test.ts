import { expect, test } from 'bun:test'
import { type RedisReport, redisReport } from '../../src/http/answer/redis-report.ts'
import type { LinkState } from '../../src/lib/redis/reconnecting-link.ts'

const UP: LinkState = { connected: true, breaker: 'closed', failures: 0, attempts: 0, reconnections: 3 }

test.each<[status: RedisReport['status'], state: LinkState | undefined]>([
  ['disabled', undefined],
  ['healthy', UP],
  ['healthy', { ...UP, breaker: 'half_open' }],
  ['reconnecting', { ...UP, connected: false, failures: 1 }],
  ['reconnecting', { ...UP, connected: false, breaker: 'half_open' }],
  ['circuit_open', { ...UP, connected: false, breaker: 'open', failures: 5, attempts: 4 }],
])('%s: %j', (status, state) => {
  expect(redisReport(state)).toStrictEqual({
    status,
    connected: status === 'healthy',
    circuit_breaker_state: state?.breaker ?? 'closed',
    circuit_breaker_failures: state?.failures ?? 0,
    reconnection_attempts: state?.attempts ?? 0,
    total_reconnections: state?.reconnections ?? 0,
  })
})
