import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createBackoff } from '../../src/lib/redis/backoff.ts'

const whole = (min: number, max: number) => fc.integer({ min, max })
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('each wait is within 10 % of min(max, initial · 2ⁿ)', () => {
  fc.assert(
    fc.property(
      whole(1, 100_000),
      whole(0, 1_000_000),
      whole(0, 2_000),
      chance,
      (initial, more, n, random) => {
        const [initialMs, maxMs] = [initial, initial + more]
        const middle = Math.min(maxMs, initialMs * 2 ** n)
        const waited = createBackoff({ initialMs, maxMs, random: () => random })(n)
        expect(waited).toBeGreaterThanOrEqual(middle * 0.9 - 1e-9)
        expect(waited).toBeLessThanOrEqual(middle * 1.1)
      },
    ),
  )
})

test('waits double from the initial one up to the longest, and are spread', () => {
  const backoff = createBackoff({ initialMs: 100, maxMs: 1_000, random: () => 0.5 })
  expect([0, 1, 2, 3, 4, 5, 5_000].map(backoff)).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000])
  const spread = createBackoff({ initialMs: 100, maxMs: 1_000 })
  expect(new Set(Array.from({ length: 20 }, () => spread(0))).size).toBeGreaterThan(1)
})
