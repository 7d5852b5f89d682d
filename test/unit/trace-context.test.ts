import { expect, test } from 'bun:test'
import { formatTraceparent, parseTraceparent } from '../../src/lib/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

const READ: readonly (readonly [text: string, flags: number])[] = [
  [`00-${TRACE}-${SPAN}-01`, 1],
  [`00-${TRACE}-${SPAN}-00`, 0],
  [`00-${TRACE}-${SPAN}-03`, 3],
  [`01-${TRACE}-${SPAN}-01`, 1],
  [`cc-${TRACE}-${SPAN}-00-what-comes-later`, 0],
]

for (const [text, traceFlags] of READ)
  test(`${text} is a place in a trace`, () => {
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, traceFlags })
  })

const MALFORMED: readonly (string | null | undefined)[] = [
  null,
  undefined,
  '',
  'no such trace',
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE}-${SPAN}-01-`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE}-${SPAN}-01 `,
  ` 00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
  `ff-${TRACE}-${SPAN}-01`,
  `0-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}g-01`,
]

for (const text of MALFORMED)
  test(`${JSON.stringify(text)} is none`, () => {
    expect(parseTraceparent(text)).toBeUndefined()
  })

test('a place is written as version 00 with its only known flag', () => {
  const place = { traceId: TRACE, spanId: SPAN }
  expect(formatTraceparent({ ...place, traceFlags: 1 })).toBe(`00-${TRACE}-${SPAN}-01`)
  expect(formatTraceparent({ ...place, traceFlags: 0 })).toBe(`00-${TRACE}-${SPAN}-00`)
  expect(formatTraceparent({ ...place, traceFlags: 3 })).toBe(`00-${TRACE}-${SPAN}-01`)
})
