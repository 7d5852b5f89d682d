import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { isPattern, mayOverlap } from '../../src/lib/redis/glob.ts'

test.each(['a*', '?', 'a[bc]', 'a[', '*'])('%s is a pattern', entry => {
  expect(isPattern(entry)).toBe(true)
})

test.each(['a', 'a]', 'a\\', 'notification:broadcast', 'ü.^-'])('%s is a name', entry => {
  expect(isPattern(entry)).toBe(false)
})

test.each([
  ['notification:*', 'notification:broadcast'],
  ['notification:*', 'notification:user:*'],
  ['*:user:*', 'notification:user:7'],
  ['a*', '*b'],
  ['a', 'a'],
  ['\\*?', '*a'],
])('%s and %s may overlap', (one, other) => {
  expect([mayOverlap(one, other), mayOverlap(other, one)]).toEqual([true, true])
})

test.each([
  ['notification:user:*', 'notification:channel:*'],
  ['notification:user:*', 'notification:broadcast'],
  ['a*', 'b*'],
  ['a', 'b'],
  ['a', 'ab'],
  ['a\\', 'a'],
])('%s and %s do not overlap', (one, other) => {
  expect([mayOverlap(one, other), mayOverlap(other, one)]).toEqual([false, false])
})

test('two entries with a common name always overlap', () => {
  const entry = fc
    .array(fc.constantFrom('a', 'b', '*', '?', '[a]', '[^a]', '[ab]'), { maxLength: 4 })
    .map(parts => parts.join(''))
  const matcher = (pattern: string) => new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
  // Two overlapping entries of four places share a name of at most eight letters.
  let names = ['']
  const all = [...names]
  for (let length = 1; length <= 8; length++) {
    names = names.flatMap(name => ['a', 'b', 'c'].map(letter => name + letter))
    all.push(...names)
  }
  fc.assert(
    fc.property(entry, entry, (one, other) => {
      const [first, second] = [matcher(one), matcher(other)]
      if (all.some(name => first.test(name) && second.test(name))) expect(mayOverlap(one, other)).toBe(true)
    }),
    { numRuns: 150 },
  )
})
