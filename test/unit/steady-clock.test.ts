import { expect, test } from 'bun:test'
import { createSteadyClock } from '../../src/lib/time/steady-clock.ts'

const START = 1_700_000_000_000

/** Wall clock and monotonic clock, which the test moves apart. */
function start() {
  const machine = { wall: START, monotonic: 5 }
  const clock = { now: () => machine.wall, monotonic: () => machine.monotonic }
  const jumps: number[] = []
  return {
    machine,
    jumps,
    steady: createSteadyClock(clock, { onJump: ms => void jumps.push(ms) }),
    pass: (ms: number) => {
      machine.wall += ms
      machine.monotonic += ms
    },
  }
}

test.each([3_600_000, -3_600_000, 56 * 365 * 86_400_000])('a jump by %d ms does not count as time', by => {
  const { machine, jumps, steady, pass } = start()
  pass(1_000)
  machine.wall += by
  expect([steady.now(), steady.jumped]).toEqual([START + 1_000, by])
  pass(500)
  expect([steady.now(), steady.jumped, jumps]).toEqual([START + 1_500, by, [by]])
})

test('a reversed jump leaves no trace', () => {
  const { machine, jumps, steady, pass } = start()
  machine.wall += 7_200_000
  steady.now()
  pass(10)
  machine.wall -= 7_200_000
  expect([steady.now(), steady.jumped, jumps]).toEqual([START + 10, 0, [7_200_000, -7_200_000]])
})

test('follows the wall clock when the clocks drift apart', () => {
  const { machine, jumps, steady, pass } = start()
  for (let minute = 0; minute < 1_000; minute++) {
    pass(60_000)
    machine.wall += 30
    steady.now()
  }
  expect([steady.now(), jumps]).toEqual([machine.wall, []])
})

test('a process stopped between reading the two clocks sees no jump', () => {
  let [wall, monotonic, isStopped] = [START, 5, false]
  const clock = {
    now: () => wall,
    monotonic: () => {
      if (isStopped) [wall, monotonic, isStopped] = [wall + 60_000, monotonic + 60_000, false]
      return monotonic
    },
  }
  const jumps: number[] = []
  const steady = createSteadyClock(clock, { onJump: ms => void jumps.push(ms) })
  isStopped = true
  expect([steady.now(), steady.jumped, jumps]).toEqual([START + 60_000, 0, []])
})

test('continues from known earlier jumps', () => {
  const clock = { now: () => START, monotonic: () => 5 }
  expect(createSteadyClock(clock, { jumped: 3_600_000 }).now()).toBe(START - 3_600_000)
})
