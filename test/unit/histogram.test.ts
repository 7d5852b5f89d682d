import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Histogram } from '../../src/observe/histogram.ts'

test('a value equal to a bound lies within it; one above all bounds counts last', () => {
  const histogram = new Histogram([1, 5])
  for (const value of [0, 1, 1.001, 5, 5.001, 1e9]) histogram.observe(value)
  expect(histogram.counts).toEqual([2, 2, 2])
  expect(histogram.count).toBe(6)
})

test('a value observed many times at once counts as often', () => {
  const histogram = new Histogram([1, 5])
  histogram.observe(2, 1_000)
  histogram.observe(0.5, 0)
  expect([histogram.counts, histogram.count, histogram.sum]).toEqual([[0, 1_000, 0], 1_000, 2_000])
})

test('counts and sum match any values', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 })), values => {
      const histogram = new Histogram([3, 7, 11])
      for (const value of values) histogram.observe(value)
      const between = (above: number, to: number) =>
        values.filter(value => value > above && value <= to).length
      expect(histogram.counts).toEqual([between(-1, 3), between(3, 7), between(7, 11), between(11, 20)])
      expect(histogram.sum).toBe(values.reduce((sum, value) => sum + value, 0))
    }),
  )
})
