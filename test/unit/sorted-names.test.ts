import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { SortedNames } from '../../src/lib/collections/sorted-names.ts'

const name = fc.string({ unit: 'grapheme', maxLength: 3 })

test('names stay sorted after any changes, and lists start after any name', () => {
  fc.assert(
    fc.property(fc.array(name, { maxLength: 200 }), name, fc.nat(30), (changes, after, limit) => {
      const names = new SortedNames()
      const plain = new Set<string>()
      for (const each of changes) {
        if (plain.delete(each)) names.delete(each)
        else {
          plain.add(each)
          names.add(each)
        }
      }
      const sorted = [...plain].sort()
      expect(names.size).toBe(sorted.length)
      expect(names.after(undefined, Number.POSITIVE_INFINITY)).toEqual(sorted)
      expect(names.after(after, limit)).toEqual(sorted.filter(each => each > after).slice(0, limit))
    }),
  )
})

test('parts split and disappear with thousands of names', () => {
  const names = new SortedNames()
  const all = Array.from({ length: 5_000 }, (_, n) => `${(n * 7_919) % 5_000}`)
  for (const each of all) names.add(each)
  const sorted = [...all].sort()
  expect(names.after(undefined, Number.POSITIVE_INFINITY)).toEqual(sorted)
  for (const [n, each] of sorted.entries())
    if (n % 500 === 0) expect(names.after(each, 3)).toEqual(sorted.slice(n + 1, n + 4))
  for (const each of all.slice(10)) names.delete(each)
  expect(names.after(undefined, Number.POSITIVE_INFINITY)).toEqual(all.slice(0, 10).sort())
})
