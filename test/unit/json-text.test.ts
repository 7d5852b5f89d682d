import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createQuote } from '../../src/lib/json/quote.ts'
import { compact, JsonText, stringOf } from '../../src/lib/json/text.ts'

const at = (text: string, ...keys: readonly string[]): string | undefined =>
  keys.reduce<JsonText | undefined>((found, key) => found?.get(key), JsonText.of(text))?.text
const piecesOf = (text: string): readonly string[] => JsonText.of(text).pieces.map(piece => piece.text)

describe('A JSON text', () => {
  test.each([
    ['{}', []],
    [' [ \t] '.trim(), []],
    ['{"a":1}', ['"a"', '1']],
    ['{ "a" : [1, {"b":2}] , "c":"}," }', ['"a"', '[1, {"b":2}]', '"c"', '"},"']],
    ['[1.10,-0,1e400]', ['1.10', '-0', '1e400']],
    ['["a\\"]","\\\\",[[],{}]]', ['"a\\"]"', '"\\\\"', '[[],{}]']],
    ['{"a:b":{"c":"d:e"}}', ['"a:b"', '{"c":"d:e"}']],
    ['["",null]', ['""', 'null']],
  ])('%s is split into its pieces', (text, pieces) => {
    expect(piecesOf(text)).toEqual(pieces)
  })

  test.each([
    ['{ "a b" : [ 1 ,\t2 ] }', '{"a b":[1,2]}'],
    [' "a  b" ', '"a  b"'],
    ['"a\\"  b"', '"a\\"  b"'],
    ['[ "\\\\" , 1.0 ]', '["\\\\",1.0]'],
    ['{}', '{}'],
  ])('%s without blanks is %s', (text, dense) => {
    expect(compact(text)).toBe(dense)
  })

  test.each([
    ['"a"', 'a'],
    ['"\\u0061\\n\\"\\/"', 'a\n"/'],
    ['"\\ud83d\\ude00"', '😀'],
    ['"\\ud800"', '\ud800'],
  ])('%s says what JSON.parse says', (text, said) => {
    expect(stringOf(text)).toBe(said)
  })

  test.each([
    ['{"a":1,"b":[2,{"c":3.0}]}', ['b', '1', 'c'], '3.0'],
    ['{"a":1,"a":2}', ['a'], '2'],
    ['{"\\u0061":1}', ['a'], '1'],
    ['{"":{"":0}}', ['', ''], '0'],
    ['{"__proto__":1}', ['__proto__'], '1'],
    ['{"a":{}}', ['constructor'], undefined],
    ['{"a":1}', ['hasOwnProperty'], undefined],
    ['[1,2]', ['0'], '1'],
    ['[1,2]', ['2'], undefined],
    ['[1,2]', ['00'], undefined],
    ['[1,2]', ['-1'], undefined],
    ['[1,2]', ['1.0'], undefined],
    ['[1,2]', [' 1'], undefined],
    ['[1,2]', ['1e0'], undefined],
    ['[1,2]', ['length'], undefined],
    ['[1,2]', ['99999999999999999999'], undefined],
    ['"ab"', ['0'], undefined],
    ['"ab"', ['length'], undefined],
    ['null', ['a'], undefined],
    ['{"a":1}', ['a', 'b'], undefined],
  ])('of %s %j is %s', (text, keys, found) => {
    expect(at(text, ...keys)).toBe(found as string)
  })

  test('of any kind is unchanged after splitting and joining', () => {
    const build = (value: JsonText): unknown => {
      const { text } = value
      if (text.startsWith('[')) return value.pieces.map(build)
      if (!text.startsWith('{')) return JSON.parse(text)
      return Object.fromEntries(
        value.pieces.flatMap((key, n, all) => {
          const below = all[n + 1]
          return n % 2 === 0 && below !== undefined ? [[stringOf(key.text), build(below)]] : []
        }),
      )
    }
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), fc.constantFrom(0, 1, '\t'), (text, indent) => {
        const spaced = JSON.stringify(JSON.parse(text), null, indent)
        expect(build(JsonText.of(spaced))).toEqual(JSON.parse(text))
        expect(compact(spaced)).toBe(JSON.stringify(JSON.parse(text)))
      }),
      { numRuns: 500 },
    )
  })
})

test('quoting gives what JSON.stringify gives, whatever was quoted before', () => {
  const quote = createQuote()
  const few = fc.constantFrom('', 'a', 'b', '"', '\\', '\u2028', '\ud800')
  fc.assert(
    fc.property(fc.array(fc.oneof(few, fc.string({ unit: 'binary' })), { size: '+1' }), texts => {
      expect(texts.map(quote)).toEqual(texts.map(text => JSON.stringify(text)))
    }),
  )
})
