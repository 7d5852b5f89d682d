import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { type BreakerState, createBreaker } from '../../src/lib/redis/breaker.ts'

const THRESHOLDS = { failureThreshold: 3, successThreshold: 2, resetMs: 1_000 }

function create(options: Partial<typeof THRESHOLDS> = {}) {
  let now = 0
  const breaker = createBreaker({ ...THRESHOLDS, ...options, clock: { monotonic: () => now } })
  return {
    breaker,
    pass: (ms: number) => {
      now += ms
    },
    fail: (times: number) => {
      for (let n = 0; n < times; n++) breaker.failure()
    },
  }
}

test('consecutive failures open the breaker; a success resets the count', () => {
  const { breaker, fail } = create()
  fail(2)
  breaker.success()
  fail(2)
  expect([breaker.state, breaker.failures, breaker.waitMs]).toEqual(['closed', 2, 0])
  fail(1)
  expect([breaker.state, breaker.failures, breaker.waitMs]).toEqual(['open', 3, 1_000])
})

test('an open breaker becomes half-open after its time, to the millisecond', () => {
  const { breaker, fail, pass } = create()
  fail(3)
  pass(999)
  expect([breaker.state, breaker.waitMs]).toEqual(['open', 1])
  pass(1)
  expect([breaker.state, breaker.waitMs]).toEqual(['half_open', 0])
})

test('a probe makes an open breaker half-open at once, and changes no other state', () => {
  const { breaker, fail } = create()
  breaker.probed()
  expect(breaker.state).toBe('closed')
  fail(3)
  breaker.probed()
  expect(breaker.state).toBe('half_open')
  breaker.success()
  breaker.probed()
  breaker.success()
  expect(breaker.state).toBe('closed')
})

test('enough successes close a half-open breaker; one failure opens it for the whole time again', () => {
  const { breaker, fail, pass } = create()
  fail(3)
  pass(1_000)
  breaker.success()
  expect(breaker.state).toBe('half_open')
  fail(1)
  expect([breaker.state, breaker.waitMs]).toEqual(['open', 1_000])
  pass(1_000)
  breaker.success()
  expect(breaker.state).toBe('half_open')
  breaker.success()
  expect([breaker.state, breaker.failures]).toEqual(['closed', 0])
})

test('events while it is open neither close it nor keep it open longer', () => {
  const { breaker, fail, pass } = create()
  fail(3)
  pass(500)
  fail(5)
  breaker.success()
  expect([breaker.state, breaker.waitMs]).toEqual(['open', 500])
})

const STEPS: Readonly<Record<BreakerState, readonly BreakerState[]>> = {
  closed: ['closed', 'open'],
  open: ['open', 'half_open'],
  half_open: ['half_open', 'closed', 'open'],
}

test('any events lead only from closed to open to half-open to closed or open', () => {
  const step = fc.oneof(
    fc.constantFrom('success' as const, 'failure' as const, 'probed' as const),
    fc.integer({ min: 0, max: 1_500 }),
  )
  const few = fc.integer({ min: 1, max: 4 })
  fc.assert(
    fc.property(few, few, fc.array(step, { maxLength: 200 }), (failureThreshold, successThreshold, steps) => {
      const { breaker, pass } = create({ failureThreshold, successThreshold })
      let before = breaker.state
      for (const each of steps) {
        if (typeof each === 'number') pass(each)
        else breaker[each]()
        const after = breaker.state
        expect(STEPS[before]).toContain(after)
        if (typeof each === 'number') expect(before === after || before === 'open').toBe(true)
        if (before === 'half_open' && each === 'failure') expect(after).toBe('open')
        if (before !== 'open' && after === 'open') expect(each).toBe('failure')
        if (after === 'closed' && before !== 'closed') expect(each).toBe('success')
        expect(breaker.waitMs > 0).toBe(after === 'open')
        before = after
      }
    }),
    { numRuns: 1_000 },
  )
})
