import { expect, test } from 'bun:test'
import { createDelays, TICK_MS } from '../../src/observe/lag.ts'

/** Runs punctual ticks for this many milliseconds. */
function run(delays: ReturnType<typeof createDelays>, from: number, ms: number): number {
  let now = from
  while (now < from + ms) {
    now += TICK_MS
    delays.came(now)
  }
  return now
}

test('a punctual or early tick is no delay', () => {
  const delays = createDelays(0)
  expect(delays.longest(TICK_MS / 2)).toBe(0)
  delays.came(TICK_MS - 5)
  expect(delays.longest(run(delays, TICK_MS - 5, 60_000))).toBe(0)
})

test('a delay shows while it lasts, and stays for 15 to 30 seconds', () => {
  for (let begin = 0; begin < 15_000; begin += 1_500) {
    const delays = createDelays(0)
    const start = run(delays, 0, begin)
    const late = start + TICK_MS + 400
    expect(delays.longest(late)).toBe(400)
    delays.came(late)
    const near = run(delays, late, 14_000)
    expect([begin, delays.longest(near)]).toEqual([begin, 400])
    expect([begin, delays.longest(run(delays, near, 17_000))]).toEqual([begin, 0])
  }
})
