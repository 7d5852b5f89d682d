import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { readQuery } from '../../src/lib/query.ts'

const rows: [string, Record<string, string> | { path: string; message: string }][] = [
  ['http://h/x', {}],
  ['http://h/x?', {}],
  ['http://h/x?limit=5&other=1&other=2', { limit: '5', other: '2' }],
  ['http://h/x?after=a%3A5&limit=%C3%A4', { after: 'a:5', limit: 'ä' }],
  ['http://h/x?limit=5&limit=5', { path: 'limit', message: 'given twice' }],
  ['http://h/x?limit=%zz', { path: 'query', message: 'expected percent-encoding (got a broken one)' }],
  ['http://h/x?a=5%', { path: 'query', message: 'expected percent-encoding (got a broken one)' }],
]

for (const [url, expected] of rows)
  test(`the query of ${url}`, () => {
    const query = readQuery(url, ['limit', 'after'])
    const names = 'path' in query ? [] : Object.keys(expected)
    expect(
      'path' in query ? query : Object.fromEntries(names.map(name => [name, query.getAll(name).at(-1)])),
    ).toEqual(expected)
  })

test('queries without encoded characters read like all others', () => {
  const item = fc.array(fc.constantFrom('a', 'ab', 'token', '=', '.', '-', 'ä', '?', ';'), { maxLength: 4 })
  const texts = fc
    .array(
      item.map(parts => parts.join('')),
      { maxLength: 5 },
    )
    .map(items => items.join('&'))
  fc.assert(
    fc.property(texts, text => {
      const query = readQuery(`http://h/x?${text}`, [])
      const expected = new URLSearchParams(text)
      if ('path' in query) throw new Error(query.message)
      for (const name of ['a', 'ab', 'token', '', 'ä', 'b', ...expected.keys()]) {
        expect([text, name, query.getAll(name)]).toEqual([text, name, expected.getAll(name)])
        expect(query.get(name)).toBe(expected.get(name))
      }
    }),
    { numRuns: 2_000 },
  )
})
