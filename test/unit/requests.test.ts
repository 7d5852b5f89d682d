import { expect, test } from 'bun:test'
import { createRateLimits } from '../../src/limit/requests.ts'
import { createStats } from '../../src/observe/stats.ts'
import { createStoppedClock } from '../support/clock.ts'

test('beyond 100,000 buckets the least recently used one is removed, and is then full', () => {
  using limits = createRateLimits({
    settings: {
      ratelimitHttpRequestsPerSecond: 1,
      ratelimitHttpBurstSize: 2,
      ratelimitWsConnectionsPerMinute: 10,
      ratelimitCleanupIntervalSeconds: 60,
      trustedProxies: [],
    },
    peerOf: request => new URL(request.url).pathname.slice(1),
    clock: createStoppedClock(),
    stats: createStats(),
  })
  const left = (identity: string) => limits.requests.charge(identity)['x-ratelimit-remaining']
  expect([left('a'), left('a')]).toEqual(['1', '0'])
  for (let n = 0; n < 99_998; n++) left(`${n}`)
  // Connections use the same buckets.
  limits.connects(new Request('http://localhost/192.0.2.1'))
  expect(() => left('a')).toThrow('too many')
  left('one more')
  left('another')
  expect(() => left('a')).toThrow('too many')
  expect(left('0')).toBe('1')
})
