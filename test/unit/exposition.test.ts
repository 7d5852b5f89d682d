import { describe, expect, test } from 'bun:test'
import { labelsOf, readExposition } from '../support/exposition.ts'

const HEAD = '# HELP a_total things\n# TYPE a_total counter\n'
const SPREAD = '# HELP h x\n# TYPE h histogram\n'

describe('the reader of the tests', () => {
  test('reads names, types, any labels and all forms of numbers', () => {
    const text = `${HEAD}a_total{x="}\\"\\\\\\n, y=\\"",z=""} 1\na_total 1.5e-7\n\n# HELP b x y\n# TYPE b gauge\nb -3\nb{c="d"} +Inf\n`
    const families = readExposition(text)
    expect([...families].map(([name, { type, help }]) => [name, type, help])).toEqual([
      ['a_total', 'counter', 'things'],
      ['b', 'gauge', 'x y'],
    ])
    expect([...(families.get('a_total')?.samples.values() ?? [])]).toEqual([1, 1.5e-7])
    expect([...(families.get('b')?.samples ?? [])]).toEqual([
      ['b', -3],
      ['b{c="d"}', Number.POSITIVE_INFINITY],
    ])
    expect(labelsOf('a{x="1",y="a,b"}')).toEqual({ x: '1', y: 'a,b' })
  })

  const FAULTS: Readonly<Record<string, string>> = {
    'no end of the last line': `${HEAD}a_total 1`,
    prose: 'hello world\n',
    'a sample without TYPE': 'a_total 1\n',
    'a sample of another metric': `${HEAD}b_total 1\n`,
    'TYPE without HELP': '# TYPE a_total counter\na_total 1\n',
    'no help': '# HELP a_total \n# TYPE a_total counter\na_total 1\n',
    'an unknown type': '# HELP a_total x\n# TYPE a_total count\na_total 1\n',
    'a metric twice': `${HEAD}a_total 1\n${HEAD}a_total 2\n`,
    'a series twice': `${HEAD}a_total{b="c"} 1\na_total{b="c"} 2\n`,
    'no number': `${HEAD}a_total x\n`,
    'no value': `${HEAD}a_total\n`,
    'a bare quote in a label': `${HEAD}a_total{b="c"d"} 1\n`,
    'an unclosed label': `${HEAD}a_total{b="c} 1\n`,
    'a bucket less than the one before': `${SPREAD}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    'bounds that fall': `${SPREAD}h_bucket{le="2"} 1\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    'no last bucket': `${SPREAD}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`,
    'another count than the last bucket': `${SPREAD}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`,
    'no sum': `${SPREAD}h_bucket{le="+Inf"} 1\nh_count 1\n`,
  }
  for (const [fault, text] of Object.entries(FAULTS))
    test(`finds ${fault}`, () => {
      expect(() => readExposition(text)).toThrow()
    })
})
