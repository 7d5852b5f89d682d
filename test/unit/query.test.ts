import { expect, test } from 'bun:test'
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
    expect(query instanceof URLSearchParams ? Object.fromEntries(query) : query).toEqual(expected)
  })
