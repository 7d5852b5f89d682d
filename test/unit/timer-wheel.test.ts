import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { FairQueue } from '../../src/lib/collections/fair-queue.ts'
import { TimerWheel } from '../../src/lib/time/timer-wheel.ts'

const item = fc.integer({ min: 0, max: 20 })
const step = fc.oneof(
  fc.record({ type: fc.constant('set' as const), item, at: fc.integer({ min: 0, max: 3_000 }) }),
  fc.record({ type: fc.constant('delete' as const), item }),
  fc.record({ type: fc.constant('take' as const), ms: fc.integer({ min: 0, max: 700 }) }),
)

test('a timer wheel returns exactly what is due, as a plain list of times would', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), fc.integer({ min: 1, max: 300 }), (steps, slotMs) => {
      let now = 17
      const wheel = new TimerWheel<number>(slotMs, now)
      const times = new Map<number, number>()
      for (const each of steps) {
        if (each.type === 'set') {
          wheel.setBy(each.item, each.at)
          times.set(each.item, Math.min(each.at, times.get(each.item) ?? each.at))
        } else if (each.type === 'delete') {
          wheel.delete(each.item)
          times.delete(each.item)
        } else {
          now += each.ms
          const due = [...times].filter(([, at]) => at <= now).map(([name]) => name)
          for (const name of due) times.delete(name)
          expect([...wheel.take(now)].sort()).toEqual(due.sort())
        }
      }
    }),
  )
})

test('a fair queue serves its parties in turn, and each party in its own order', () => {
  const queue = new FairQueue<string>()
  for (const each of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2']) queue.push(each.charAt(0), each)
  expect(queue.size).toBe(6)
  expect([queue.shift(), queue.shift()]).toEqual(['a1', 'b1'])
  queue.push('d', 'd1')
  expect(Array.from({ length: 6 }, () => queue.shift())).toEqual(['c1', 'a2', 'b2', 'd1', 'a3', undefined])
  expect(queue.size).toBe(0)
})
