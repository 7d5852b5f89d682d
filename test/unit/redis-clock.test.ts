import { expect, test } from 'bun:test'
import { createRedisClock } from '../../src/store/redis/redis-clock.ts'

/** Own time, and the clock of Redis, which is 1,000,000 ms ahead of it. */
function start() {
  let now = 0
  let ahead = 1_000_000
  const clock = createRedisClock({ monotonic: () => now })
  /** Asks Redis, which reads its clock halfway, and handles the reply late. */
  const ask = (travelMs: number, handledLateMs = 0): void => {
    const askedAt = now
    now += travelMs
    const told = now + ahead
    now += travelMs + handledLateMs
    clock.note(told, askedAt)
  }
  return {
    ask,
    pass: (ms: number) => {
      now += ms
    },
    setBack: (ms: number) => {
      ahead -= ms
    },
    /** Milliseconds that the estimate is behind the clock of Redis. */
    behind: () => now + ahead - clock.now(),
  }
}

test('a reply that the process handles late does not set the estimate back', () => {
  const { ask, pass, behind } = start()
  ask(1)
  expect(behind()).toBe(1)
  pass(1_000)
  ask(1, 900)
  expect(behind()).toBe(1)
})

test('the estimate is never ahead of Redis, also after its clock was set back', () => {
  const { ask, setBack, pass, behind } = start()
  ask(1, 500)
  expect(behind()).toBe(501)
  ask(2)
  expect(behind()).toBe(2)
  setBack(5_000)
  pass(1_000)
  ask(1)
  expect(behind()).toBe(1)
})
