import { expect, test } from 'bun:test'
import { createPace } from '../../src/store/redis/pace.ts'
import { awaitedLater } from '../support/awaited-later.ts'

/** Names of the appends that may run, in the order in which they were released. */
function appendsOf(pace: ReturnType<typeof createPace>) {
  const released: string[] = []
  const append = (name: string, count: number) => pace.turn(count)?.then(() => released.push(name))
  return { released, append }
}

test('appends wait for no cleanup that keeps up', () => {
  const pace = createPace()
  expect(pace.turn(1_000)).toBeUndefined()
  pace.cleaned(500, false)
  expect(pace.turn(1_000)).toBeUndefined()
})

test('while cleanup lags, each append waits until twice as many logs were cleaned, in order', async () => {
  const pace = createPace()
  const { released, append } = appendsOf(pace)
  pace.cleaned(500, true)
  const first = append('first', 100)
  const second = awaitedLater(append('second', 100))
  pace.cleaned(200, true)
  await first
  expect(released).toEqual(['first'])
  pace.cleaned(200, true)
  await second
  expect(released).toEqual(['first', 'second'])
})

test('all appends continue when cleanup has caught up or failed', async () => {
  const pace = createPace()
  const { released, append } = appendsOf(pace)
  pace.cleaned(500, true)
  const both = [append('first', 1_000), append('second', 1_000)]
  pace.cleaned(0, false)
  await Promise.all(both)
  expect(released).toEqual(['first', 'second'])
  expect(pace.turn(1)).toBeUndefined()
})
