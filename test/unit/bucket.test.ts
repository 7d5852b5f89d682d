import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createBuckets, type Rate, take } from '../../src/lib/flow/bucket.ts'
import { createStoppedClock } from '../support/clock.ts'
import { eventually } from '../support/visit.ts'

const rateOf = (capacity: number, perSecond: number): Rate => ({ capacity, intervalMs: 1000 / perSecond })

/** Returns the answers of one bucket to requests at these moments, in milliseconds. */
function run(rate: Rate, moments: readonly number[]) {
  let fullAt = 0
  return moments.map(now => {
    const taken = take(fullAt, now, rate)
    fullAt = taken.fullAt
    return { now, ...taken }
  })
}

const rates = fc.record({
  capacity: fc.integer({ min: 1, max: 300 }),
  intervalMs: fc.integer({ min: 1, max: 2000 }).map(perSecond => 1000 / perSecond),
})
/** Generates an uptime of up to a month, then requests with pauses from microseconds to seconds. */
const schedules = fc
  .record({
    start: fc.double({ min: 0, max: 2.6e9, noNaN: true }),
    pauses: fc.array(fc.oneof(fc.constant(0), fc.double({ min: 0, max: 3000, noNaN: true })), {
      minLength: 1,
      maxLength: 400,
    }),
  })
  .map(({ start, pauses }) => {
    let now = start
    return pauses.map(pause => {
      now += pause
      return now
    })
  })

describe('a bucket', () => {
  test('gives a burst at once, reports the rest, and then gives one token per interval', () => {
    const rate = rateOf(3, 2)
    const taken = run(rate, [1000, 1000, 1000, 1000, 1499, 1500, 1500, 3000])
    expect(taken.map(({ waitMs, left, fullAt }) => [waitMs, left, fullAt])).toEqual([
      [0, 2, 1500],
      [0, 1, 2000],
      [0, 0, 2500],
      [500, 0, 2500],
      [1, 0, 2500],
      [0, 0, 3000],
      [500, 0, 3000],
      [0, 2, 3500],
    ])
  })

  test('gives its last token even if an interval is not a whole number of milliseconds', () => {
    for (const perSecond of [3, 7, 30, 60, 333]) {
      const taken = run(rateOf(1000, perSecond), Array(1001).fill(86_400_000.1))
      expect(taken.findIndex(({ waitMs }) => waitMs > 0)).toBe(1000)
      expect(taken.map(({ left }) => left)).toEqual([...Array(1000).keys()].reverse().concat(0))
    }
  })

  test('never gives more than its capacity plus the refill, in any window of time', () => {
    fc.assert(
      fc.property(rates, schedules, (rate, moments) => {
        const given = run(rate, moments).filter(({ waitMs }) => waitMs === 0)
        for (const [first, { now: from }] of given.entries())
          for (const [last, { now: until }] of given.entries())
            if (last >= first)
              expect(last - first + 1).toBeLessThanOrEqual(
                rate.capacity + (until - from + 0.01) / rate.intervalMs,
              )
      }),
      { numRuns: 60 },
    )
  })

  test('reports the exact wait: no token a millisecond earlier, one at that moment', () => {
    fc.assert(
      fc.property(rates, schedules, (rate, moments) => {
        for (const { waitMs, fullAt, now } of run(rate, moments)) {
          if (waitMs === 0) continue
          expect(take(fullAt, now + waitMs, rate).waitMs).toBe(0)
          expect(take(fullAt, now + waitMs - 1.01, rate).waitMs).toBeGreaterThan(0)
        }
      }),
    )
  })

  test('is full at the reported moment, not before; the reported rest is available', () => {
    fc.assert(
      fc.property(rates, schedules, (rate, moments) => {
        for (const { fullAt, fullInMs, left, now, waitMs } of run(rate, moments)) {
          expect(fullInMs).toBeWithin(fullAt - now - 0.01, fullAt - now + 1)
          expect(take(fullAt, fullAt, rate).left).toBe(rate.capacity - 1)
          let at = fullAt
          let given = 0
          for (let taken = take(at, now, rate); taken.waitMs === 0; taken = take(at, now, rate)) {
            at = taken.fullAt
            given++
          }
          if (waitMs === 0) expect(given).toBe(left)
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe('buckets', () => {
  const rate = rateOf(1, 1)

  test('are independent of each other', () => {
    using buckets = createBuckets({ clock: createStoppedClock(), max: 10, cleanupMs: 60_000 })
    expect(['a', 'b', 'a', 'b', 'c'].map(name => buckets.take(name, rate).waitMs)).toEqual([
      0, 0, 1000, 1000, 0,
    ])
  })

  test('are bounded: the least recently used one is removed, and is full when used again', () => {
    using buckets = createBuckets({ clock: createStoppedClock(), max: 100, cleanupMs: 60_000 })
    for (let n = 0; n < 100; n++) buckets.take(`${n}`, rate)
    // A denied request counts as use, too.
    expect(buckets.take('0', rate).waitMs).toBe(1000)
    for (let n = 100; n < 150; n++) buckets.take(`${n}`, rate)
    expect(buckets.size).toBe(100)
    expect(['0', '60', '1'].map(name => buckets.take(name, rate).waitMs)).toEqual([1000, 1000, 0])
  })

  test('are removed when full and unused for 300 s, never while filling', async () => {
    const clock = createStoppedClock()
    using buckets = createBuckets({ clock, max: 10_000, cleanupMs: 5 })
    const slow = { capacity: 2, intervalMs: 3_600_000 }
    for (let n = 0; n < 5_000; n++) buckets.take(`${n}`, rate)
    buckets.take('fast', { capacity: 1, intervalMs: 1 })
    buckets.take('slow', slow)
    clock.jump(250)
    buckets.take('young', rate)
    expect(buckets.size).toBe(5_003)
    // The fast bucket has been full for 300 s, the others for 299 s.
    clock.jump(50.5)
    await eventually(() => buckets.size < 5_003)
    expect(buckets.size).toBe(5_002)
    clock.jump(1)
    await eventually(() => buckets.size <= 2)
    expect(buckets.size).toBe(2)
    expect(buckets.take('young', rate).left).toBe(0)
    expect([buckets.take('slow', slow).left, buckets.take('slow', slow).waitMs > 0]).toEqual([0, true])
  })

  test('are not affected by a clock that is set back', () => {
    const clock = createStoppedClock()
    using buckets = createBuckets({ clock: { ...clock, now: () => 0 }, max: 10, cleanupMs: 60_000 })
    buckets.take('a', rate)
    clock.jump(1)
    expect(buckets.take('a', rate).waitMs).toBe(0)
  })
})
