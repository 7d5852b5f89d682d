import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { HashIndex } from '../../src/lib/collections/hash-index.ts'
import { createRandom } from '../support/random.ts'

/** Few hashes for many items, at both ends of the range: runs of slots wrap around, and whole hashes collide. */
const hash = fc.oneof(
  fc.constantFrom(0, 1, 7, -1, -2, 63, 64),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
)

const lookUp = (index: HashIndex, of: number, item: number): number => index.find(of, found => found === item)

test('an index finds the same items as a map, after any additions and removals', () => {
  const changes = fc.array(fc.tuple(fc.nat(300), hash), { maxLength: 600, size: 'max' })
  fc.assert(
    fc.property(changes, steps => {
      const index = new HashIndex()
      const plain = new Map<number, number>()
      for (const [item, of] of steps) {
        const known = plain.get(item)
        if (known === undefined) {
          plain.set(item, of)
          index.add(of, item)
        } else {
          plain.delete(item)
          index.remove(known, item)
        }
      }
      for (const [item, of] of steps) {
        const known = plain.get(item)
        expect(lookUp(index, known ?? of, item)).toBe(known === undefined ? -1 : item)
      }
    }),
  )
})

test('an index with 100,000 items finds each one, and none after all were removed in another order', () => {
  const seed = Date.now()
  console.log(`seed ${seed}`)
  const { whole } = createRandom(seed)
  const hashes = Int32Array.from({ length: 12_500 }, () => whole(-(2 ** 31), 2 ** 31 - 1))
  const hashOf = (item: number): number => hashes[item % hashes.length] ?? 0
  const items = Array.from({ length: 100_000 }, (_, n) => (n * 7_919) % 100_000)
  const index = new HashIndex()
  for (const item of items) index.add(hashOf(item), item)
  expect(items.filter(item => lookUp(index, hashOf(item), item) !== item)).toEqual([])
  for (const item of items.slice(10).sort((a, b) => a - b)) index.remove(hashOf(item), item)
  const left = new Set(items.slice(0, 10))
  expect(items.filter(item => lookUp(index, hashOf(item), item) === item)).toEqual([...left])
})

test('the removal of an item that is not in the index changes nothing', () => {
  const index = new HashIndex()
  index.add(5, 1)
  index.remove(5, 2)
  index.remove(6, 1)
  expect(lookUp(index, 5, 1)).toBe(1)
})
