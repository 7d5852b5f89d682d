import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { isPattern, overlap } from '../../src/lib/glob.ts'

test.each(['a*', '?', 'a[bc]', 'a[', '*'])('%s is a pattern', entry => {
  expect(isPattern(entry)).toBe(true)
})

test.each(['a', 'a]', 'a\\', 'notification:broadcast', 'ü.^-'])('%s is a name', entry => {
  expect(isPattern(entry)).toBe(false)
})

describe('overlap', () => {
  test.each([
    ['notification:*', 'notification:broadcast'],
    ['notification:*', 'notification:user:*'],
    ['*:user:*', 'notification:user:7'],
    ['a*', '*b'],
    ['a*c*e', '*b*d*'],
    ['a?', 'ab'],
    ['?', '[x]'],
    ['[a-c]', '[c-e]'],
    ['[c-a]', 'b'],
    ['[^a]', 'b'],
    ['[\\]]', ']'],
    ['a[bc', 'ab'],
    ['\\*?', '*a'],
    ['a', 'a'],
    ['*', '*'],
    ['*ü', 'ü'],
  ])('%s and %s', (one, other) => {
    expect([overlap(one, other), overlap(other, one)]).toEqual([true, true])
  })

  test.each([
    ['notification:user:*', 'notification:channel:*'],
    ['notification:user:*', 'notification:broadcast'],
    ['a*', 'b*'],
    ['*a', '*b'],
    ['a?', 'a'],
    ['a', 'b'],
    ['[ab]', '[^ab]'],
    ['[ab]', 'c'],
    ['[]', '?'],
    ['\\*?', 'aa'],
    ['a\\', 'a'],
    ['?', 'ü'],
  ])('but not %s and %s', (one, other) => {
    expect([overlap(one, other), overlap(other, one)]).toEqual([false, false])
  })
})

test('two patterns overlap exactly when some name fits both', () => {
  const entry = fc
    .array(fc.constantFrom('a', 'b', '*', '?', '[a]', '[^a]', '[ab]'), { maxLength: 4 })
    .map(parts => parts.join(''))
  const matcher = (pattern: string) => new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
  // Long enough for both: four places each, and a third letter that no class names.
  let names = ['']
  const all = [...names]
  for (let length = 1; length <= 8; length++) {
    names = names.flatMap(name => ['a', 'b', 'c'].map(letter => name + letter))
    all.push(...names)
  }
  fc.assert(
    fc.property(entry, entry, (one, other) => {
      const [first, second] = [matcher(one), matcher(other)]
      expect(overlap(one, other)).toBe(all.some(name => first.test(name) && second.test(name)))
    }),
    { numRuns: 150 },
  )
})
