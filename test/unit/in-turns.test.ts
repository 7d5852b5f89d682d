import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Largest } from '../../src/lib/collections/largest.ts'
import { inTurns } from '../../src/lib/flow/in-turns.ts'

test('a long list is visited in order, a portion per turn, and other work runs in between', async () => {
  const seen: number[] = []
  const perTurn: number[] = []
  let done = false
  const look = (): void => {
    perTurn.push(seen.length)
    if (!done) setImmediate(look)
  }
  setImmediate(look)
  await inTurns(Array.from({ length: 1_000 }, (_, n) => n).values(), n => seen.push(n), 100)
  done = true
  expect(seen).toHaveLength(1_000)
  expect(seen).toEqual([...seen].sort((a, b) => a - b))
  for (const [n, count] of perTurn.entries()) expect(count - (perTurn[n - 1] ?? 0)).toBeLessThanOrEqual(100)
})

test('the first items of the order are kept', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 200 }), fc.nat(20), (items, most) => {
      const byValue = (a: number, b: number) => b - a
      const largest = new Largest<number>(most, byValue)
      for (const item of items) largest.add(item)
      expect(largest.end()).toEqual([...items].sort(byValue).slice(0, most))
    }),
  )
})
