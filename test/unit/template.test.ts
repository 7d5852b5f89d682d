import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { render } from '../../src/notification/render.ts'
import { compile } from '../../src/notification/template.ts'

const MAX = 65_536

const rendered = (template: string, variables = '{}', options: object = {}) =>
  render(compile(template), variables, { strict: false, maxBytes: MAX, ...options })

/** Returns the payload; fails without one. */
function payloadOf(template: string, variables?: string): string {
  const result = rendered(template, variables)
  return result.ok ? result.payload : expect.unreachable(result.fault)
}

const name = (length: number, unit = 'n') => unit.repeat(length)

describe('A template is rendered', () => {
  const ROWS: Readonly<
    Record<string, readonly (readonly [template: string, variables: string, payload: string])[]>
  > = {
    'as its own text where there is no placeholder': [
      ['null', '{}', 'null'],
      ['1.10', '{}', '1.10'],
      ['{"a":-0,"b":1e400,"c":12345678901234567890}', '{}', '{"a":-0,"b":1e400,"c":12345678901234567890}'],
      ['{"2":1,"1":2,"b":3,"a":4}', '{}', '{"2":1,"1":2,"b":3,"a":4}'],
      ['"\\u0061\\/\\ud800\\n"', '{}', '"\\u0061\\/\\ud800\\n"'],
      ['{"a":1,"a":2}', '{}', '{"a":1,"a":2}'],
      ['{ "a b" : [ true , "c  d" ] }', '{}', '{"a b":[true,"c  d"]}'],
      ['[[],{},""]', '{}', '[[],{},""]'],
    ],
    'with a variable at any depth and in keys': [
      ['"{{a}}"', '{"a":"x"}', '"x"'],
      ['["{{a}}",["{{a}}"]]', '{"a":"x"}', '["x",["x"]]'],
      ['{"k":{"l":["-{{a}}-"]}}', '{"a":"x"}', '{"k":{"l":["-x-"]}}'],
      ['{"{{a}}":"{{b}}"}', '{"a":"k","b":"v"}', '{"k":"v"}'],
      ['{"a":{"x{{a}}y":{"{{a}}":1}}}', '{"a":"-"}', '{"a":{"x-y":{"-":1}}}'],
      ['"{{a}}{{b}}{{a}}"', '{"a":"1","b":"2"}', '"121"'],
      ['[1,true,null,"{{a}}"]', '{"a":"x"}', '[1,true,null,"x"]'],
    ],
    'by the rule of what a placeholder is': [
      ['"{{ a }}"', '{" a ":"blank","a":"bare"}', '"blank"'],
      ['"{{a b}}"', '{"a b":"x"}', '"x"'],
      ['"{{a\\nb}}"', '{"a\\nb":"x"}', '"x"'],
      ['"{{ }}"', '{" ":"x"}', '"x"'],
      ['"{{}}"', '{"":"x"}', '"{{}}"'],
      ['"{{a}"', '{"a":"x"}', '"{{a}"'],
      ['"{a}}"', '{"a":"x"}', '"{a}}"'],
      ['"{ {a}}"', '{"a":"x"}', '"{ {a}}"'],
      ['"{{a} }"', '{"a":"x"}', '"{{a} }"'],
      ['"{{a{b}}"', '{"a{b":"x","b":"y"}', '"{{a{b}}"'],
      ['"{{a}b}}"', '{"a}b":"x"}', '"{{a}b}}"'],
      ['"{{{{a}}}}"', '{"a":"x"}', '"{{x}}"'],
      ['"{{{{{a}}}}}"', '{"a":"x"}', '"{{{x}}}"'],
      ['"{{a}}}"', '{"a":"x"}', '"x}"'],
      ['"{{{a}}"', '{"a":"x"}', '"{x"'],
      ['"{{a{{b}}"', '{"b":"x"}', '"{{ax"'],
      ['"{{a}}b}}"', '{"a":"x"}', '"xb}}"'],
      [`"{{${name(128)}}}"`, `{"${name(128)}":"x"}`, '"x"'],
      [`"{{${name(129)}}}"`, `{"${name(129)}":"x"}`, `"{{${name(129)}}}"`],
      [`"{{${name(128, '😀')}}}"`, `{"${name(128, '😀')}":"x"}`, '"x"'],
      [`"{{${name(129, '😀')}}}"`, `{"${name(129, '😀')}":"x"}`, `"{{${name(129, '😀')}}}"`],
      ['"{{größe}} {{名}} {{\\ud83d\\ude00}}"', '{"größe":"1","名":"2","😀":"3"}', '"1 2 3"'],
      ['"{{\\ud800}}"', '{"\\ud800":"x"}', '"x"'],
      ['"\\u007b{\\u0061}}"', '{"a":"x"}', '"x"'],
      ['"\\u0041{{\\u0061}}\\u0042"', '{"\\u0061":"x"}', '"\\u0041x\\u0042"'],
      ['"\\\\{{a}}\\""', '{"a":"x"}', '"\\\\x\\""'],
      ['"{{a\\"b}}"', '{"a\\"b":"x"}', '"x"'],
    ],
    'by a look-up of the exact key, then of the path': [
      ['"{{a.b}}"', '{"a":{"b":"path"}}', '"path"'],
      ['"{{a.b}}"', '{"a.b":"key","a":{"b":"path"}}', '"key"'],
      ['"{{a.1.b}}"', '{"a":[0,{"b":"x"}]}', '"x"'],
      ['"{{a.0.0}}"', '{"a":[["x"]]}', '"x"'],
      ['"{{a.0}}"', '{"a":{"0":"x"}}', '"x"'],
      ['"{{a..b}}"', '{"a":{"":{"b":"x"}}}', '"x"'],
      ['"{{.}}"', '{"":{"":"x"}}', '"x"'],
      ['"{{a.}}"', '{"a":{"":"x"}}', '"x"'],
      ['"{{a.b.c}}"', '{"a":{"b.c":"x"}}', '"{{a.b.c}}"'],
      ['"{{a.b.c}}"', '{"a.b":{"c":"x"}}', '"{{a.b.c}}"'],
      ['"{{a.01}}{{a.-1}}{{a.1}}{{a.1e0}}"', '{"a":["x"]}', '"{{a.01}}{{a.-1}}{{a.1}}{{a.1e0}}"'],
      ['"{{a.length}}{{s.length}}{{s.0}}"', '{"a":[],"s":"x"}', '"{{a.length}}{{s.length}}{{s.0}}"'],
      ['"{{n.a}}{{t.a}}"', '{"n":null,"t":true}', '"{{n.a}}{{t.a}}"'],
      ['"{{a}}"', '{"a":"first","a":"last"}', '"last"'],
      ['"{{a.b}}"', '{"a":{"b":"first"},"a":{"b":"last"}}', '"last"'],
      ['"{{A}}"', '{"a":"x"}', '"{{A}}"'],
      ['"{{e\\u0301}}"', '{"é":"x"}', '"{{e\\u0301}}"'],
    ],
    'in a single pass': [
      ['"{{a}}"', '{"a":"{{b}}","b":"x"}', '"{{b}}"'],
      ['"{{a}}b}}"', '{"a":"{{","b":"x","{{b":"y"}', '"{{b}}"'],
      ['"{{{a}}}!"', '{"a":"{{b}}","b":"x"}', '"{{{b}}}!"'],
      ['"{{{a}}}"', '{"a":"{{b}}","b":"x"}', '"{{b}}"'],
      ['"{{{a}}}"', '{"a":{"{{b}}":"{{{b}}}"},"b":"x"}', '{"{{b}}":"{{{b}}}"}'],
      ['{"{{a}}":1}', '{"a":"{{b}}","b":"x"}', '{"{{b}}":1}'],
    ],
    'with what is missing left as it is written': [
      ['"a {{b}} c"', '{}', '"a {{b}} c"'],
      ['"{{{b}}}"', '{}', '"{{{b}}}"'],
      ['{"{{b}}":1}', '{}', '{"{{b}}":1}'],
      ['"{{\\u0062}}{{a}}"', '{"a":"x"}', '"{{\\u0062}}x"'],
      ['"{{{\\u0062}}}"', '{}', '"{{{\\u0062}}}"'],
    ],
    'with strings as they are': [
      ['"{{a}}"', '{"a":"<b>&amp;\\"\\\\\\n\\u00e9é😀"}', '"<b>&amp;\\"\\\\\\n\\u00e9é😀"'],
      ['"{{a}}"', '{"a":"\\ud800"}', '"\\ud800"'],
      ['"{{a}}"', '{"a":""}', '""'],
      ['"{{a}}"', '{"a":"$& $1 $$ $` %s"}', '"$& $1 $$ $` %s"'],
      ['"{{a}}"', '{"a":"\u2028"}', '"\u2028"'],
    ],
    'with numbers and booleans as their JSON text': [
      ['"{{a}}"', '{"a":5}', '"5"'],
      [
        '"{{a}} {{b}} {{c}} {{d}} {{e}}"',
        '{"a":1e400,"b":-0,"c":1.10,"d":12345678901234567890,"e":1E+2}',
        '"1e400 -0 1.10 12345678901234567890 1E+2"',
      ],
      ['"{{a}}{{b}}"', '{"a":true,"b":false}', '"truefalse"'],
      ['{"{{a}}":1}', '{"a":1.0}', '{"1.0":1}'],
    ],
    'with null as nothing': [
      ['"a{{b}}c"', '{"b":null}', '"ac"'],
      ['"{{b}}"', '{"b":null}', '""'],
      ['{"{{b}}":1}', '{"b":null}', '{"":1}'],
    ],
    'with lists and objects as compact JSON text': [
      ['"{{a}}"', '{"a":[1.10, "b c",\t{ }]}', '"[1.10,\\"b c\\",{}]"'],
      ['"{{a}}"', '{"a":{"z":1,"2":-0,"1":"\\n"}}', '"{\\"z\\":1,\\"2\\":-0,\\"1\\":\\"\\\\n\\"}"'],
      ['"{{a}}"', '{"a":["\\ud800"]}', '"[\\"\\\\ud800\\"]"'],
      ['{"{{a}}":1}', '{"a":[ ]}', '{"[]":1}'],
    ],
    'with the value itself where the whole value is in three braces': [
      [
        '["{{{a}}}","{{{b}}}","{{{c}}}","{{{d}}}"]',
        '{"a":1.10,"b":true,"c":null,"d":"x"}',
        '[1.10,true,null,"x"]',
      ],
      ['"{{{a}}}"', '{"a":{ "z" : [ 1e400 , "\\u0061 b" ] }}', '{"z":[1e400,"\\u0061 b"]}'],
      ['"{{{a.b.0}}}"', '{"a":{"b":[-0]}}', '-0'],
      ['{"k":"{{{a}}}"}', '{"a":[]}', '{"k":[]}'],
      ['"\\u007b{{a}}}"', '{"a":5}', '5'],
      ['"{{{ a }}}"', '{" a ":5}', '5'],
      ['"{{{a}}} "', '{"a":5}', '"{5} "'],
      ['"{{{a}}}\\n"', '{"a":5}', '"{5}\\n"'],
      ['"x{{{a}}}"', '{"a":5}', '"x{5}"'],
      ['"{{{a}}}{{{a}}}"', '{"a":5}', '"{5}{5}"'],
      ['"{{{{a}}}}"', '{"a":5}', '"{{5}}"'],
      ['{"{{{a}}}":1}', '{"a":5}', '{"{5}":1}'],
      [`"{{{${name(128)}}}}"`, `{"${name(128)}":5}`, '5'],
      [`"{{{${name(129)}}}}"`, `{"${name(129)}":5}`, `"{{{${name(129)}}}}"`],
    ],
    'with one of several keys that become one, the last as written': [
      ['{"{{b}}":2,"{{a}}":1}', '{"a":"k","b":"k"}', '{"k":2}'],
      ['{"{{a}}":1,"{{b}}":2}', '{"a":"k","b":"k"}', '{"k":2}'],
      ['{"k":1,"{{a}}":2}', '{"a":"k"}', '{"k":2}'],
      ['{"{{a}}":1,"k":2}', '{"a":"k"}', '{"k":1}'],
      ['{"~":1,"{{a}}":2}', '{"a":"~"}', '{"~":1}'],
      ['{"{{\uffff}}":1,"{{😀}}":2}', '{"\uffff":"k","😀":"k"}', '{"k":2}'],
      ['{"{{😀}}":1,"{{\uffff}}":2}', '{"\uffff":"k","😀":"k"}', '{"k":1}'],
      ['{"x":0,"{{b}}":2,"y":0,"{{a}}":1,"z":0}', '{"a":"k","b":"k"}', '{"x":0,"k":2,"y":0,"z":0}'],
      ['{"{{a}}":1,"{{a}}":2}', '{"a":"k"}', '{"k":2}'],
      ['{"{{a}}":1,"\\u006b":2}', '{"a":"k"}', '{"k":1}'],
      ['{"{{a}}":1,"{{b}}":2}', '{"a":"\\u006b","b":"k"}', '{"k":2}'],
      ['{"{{a}}":{"{{a}}":1,"k":2},"k":3}', '{"a":"k"}', '{"k":{"k":1}}'],
      ['{"{{a}}":"{{x}}","{{b}}":"{{y}}"}', '{"a":"k","b":"k","x":1,"y":2}', '{"k":"2"}'],
    ],
    'with names and values that mean something elsewhere': [
      ['{"__proto__":"{{__proto__}}"}', '{"__proto__":"x"}', '{"__proto__":"x"}'],
      ['{"{{a}}":{"b":1}}', '{"a":"__proto__"}', '{"__proto__":{"b":1}}'],
      ['"{{constructor}} {{toString}}"', '{}', '"{{constructor}} {{toString}}"'],
      ['"{{a.constructor}}{{a.__proto__}}"', '{"a":{}}', '"{{a.constructor}}{{a.__proto__}}"'],
      ['"{{a.__proto__.b}}"', '{"a":{"__proto__":{"b":"x"}}}', '"x"'],
      ['"{{$&}} {{$1}}"', '{"$&":"x"}', '"x {{$1}}"'],
    ],
  }
  for (const [what, rows] of Object.entries(ROWS))
    for (const [template, variables, payload] of rows)
      test(`${what}: ${template.slice(0, 60)} with ${variables.slice(0, 60)}`, () => {
        expect(payloadOf(template, variables)).toBe(payload)
        expect(() => JSON.parse(payload)).not.toThrow()
      })

  test('repeatedly from one compiled form', () => {
    const compiled = compile('{"{{k}}":"{{{v}}}"}')
    const one = (variables: string) => render(compiled, variables, { strict: true, maxBytes: MAX })
    expect([one('{"k":"a","v":1}'), one('{"k":"b","v":[2]}'), one('{"k":"a","v":1}')]).toEqual([
      { ok: true, payload: '{"a":1}' },
      { ok: true, payload: '{"b":[2]}' },
      { ok: true, payload: '{"a":1}' },
    ])
  })

  test('at any depth a request may have, with values as deep inside', () => {
    const nested = (levels: number, inside: string) =>
      '[{"{{k}}":'.repeat(levels) + inside + '}]'.repeat(levels)
    const deep = '['.repeat(62) + ']'.repeat(62)
    const payload = payloadOf(nested(31, '"{{{v}}}"'), `{"k":"k","v":${deep}}`)
    expect(payload).toBe(nested(31, deep).replaceAll('{{k}}', 'k'))
    expect(JSON.parse(payload)).toBeArray()
  })
})

describe('A strict template', () => {
  const strict = (template: string, variables?: string) => rendered(template, variables, { strict: true })

  test('names each missing variable once, in the order of its places', () => {
    const template = '{"{{b}}":"{{a}} {{c}} {{b}}","x":["{{{d}}}","{{a}}","{{e.f}}","{{ g }}"]}'
    expect(strict(template, '{"c":null,"e":{}}')).toEqual({
      ok: false,
      fault: 'missing',
      names: ['b', 'a', 'd', 'e.f', ' g '],
    })
  })

  test('is rendered if nothing is missing, despite surplus variables', () => {
    expect(strict('"{{a}}{{b.0}}"', '{"a":null,"b":[false],"c":1}')).toEqual({ ok: true, payload: '"false"' })
  })

  test('also requires variables in keys that other keys replace', () => {
    expect(strict('{"{{a}}":"{{x}}","{{b}}":2}', '{"a":"k","b":"k"}')).toEqual({
      ok: false,
      fault: 'missing',
      names: ['x'],
    })
  })

  test('requires nothing for text that is not a placeholder', () => {
    expect(strict(`"{{}} {a} {{a} {{${name(129)}}}"`)).toMatchObject({ ok: true })
  })
})

describe('A payload', () => {
  const TOO_LARGE = { ok: false, fault: 'too_large' } as const

  test.each([
    ['text of its own', (bytes: number) => [`"${'x'.repeat(bytes - 2)}"`, '{}']],
    ['a variable', (bytes: number) => ['"{{a}}"', `{"a":"${'x'.repeat(bytes - 2)}"}`]],
    ['a value', (bytes: number) => ['"{{{a}}}"', `{"a":[1, 2,"${'x'.repeat(bytes - 8)}"]}`]],
    ['a key', (bytes: number) => ['{"{{a}}":1}', `{"a":"${'x'.repeat(bytes - 6)}"}`]],
    [
      'several variables',
      (bytes: number) => [
        '["{{a}}","{{a}}","{{b}}"]',
        `{"a":"${'x'.repeat(9)}","b":"${'x'.repeat(bytes - 28)}"}`,
      ],
    ],
    [
      'two bytes a character',
      (bytes: number) => ['"{{a}}-{{b}}"', `{"a":"${'é'.repeat(1_000)}","b":"${'x'.repeat(bytes - 2_003)}"}`],
    ],
    [
      'four bytes a character',
      (bytes: number) => [`"${'😀'.repeat(1_000)}{{b}}"`, `{"b":"${'x'.repeat(bytes - 4_002)}"}`],
    ],
    [
      'what a list is inside a string',
      (bytes: number) => ['"{{a}}"', `{"a":[ "${'x'.repeat(bytes - 8)}" ]}`],
    ],
    [
      'a key and its value, others being displaced',
      (bytes: number) => [
        '{"{{a}}":"{{c}}","{{b}}":"{{d}}"}',
        `{"a":"k","b":"k","c":"${'y'.repeat(60_000)}","d":"${'x'.repeat(bytes - 8)}"}`,
      ],
    ],
    [
      'blanks of the template',
      (bytes: number) => [`[${' '.repeat(70_000)}"{{a}}"]`, `{"a":"${'x'.repeat(bytes - 4)}"}`],
    ],
  ])('of %s may have 65,536 bytes and no more', (_, make) => {
    const [template = '', variables = ''] = make(MAX)
    const result = rendered(template, variables)
    expect(result.ok && Buffer.byteLength(result.payload)).toBe(MAX)
    const [more = '', moreVariables = ''] = make(MAX + 1)
    expect(rendered(more, moreVariables)).toEqual(TOO_LARGE)
  })

  // Complete, they would exceed the longest possible string.
  const huge = `{"v":"${'x'.repeat(1_000_000)}","w":[${'1,'.repeat(300_000)}1]}`
  test.each([
    ['in one string', `"${'{{v}}'.repeat(13_000)}"`],
    ['in a list', `[${Array.from({ length: 8_000 }, () => '"{{v}}"').join()}]`],
    ['as values', `[${Array.from({ length: 6_000 }, () => '"{{{w}}}"').join()}]`],
    ['in keys', `{${Array.from({ length: 5_000 }, (__, n) => `"{{v}}${n}":1`).join()}}`],
    ['in keys that become one', `{${Array.from({ length: 4_000 }, (__, n) => `"{{v}}{{${n}}}":1`).join()}}`],
  ])('that would be beyond all measure is refused %s, not built', (_, template) => {
    const none = Array.from({ length: 4_000 }, (__, n) => `"${n}":null`).join()
    expect(rendered(template, huge.replace('{', `{${none},`))).toEqual(TOO_LARGE)
  })

  test('with a thousand variables of 60 kB is refused', () => {
    const template = `["${Array.from({ length: 1_000 }, () => '{{v}}').join('","')}"]`
    expect(rendered(template, `{"v":"${'x'.repeat(60_000)}"}`)).toEqual(TOO_LARGE)
  })

  test('of many places and names is rendered', () => {
    const names = Array.from({ length: 7_000 }, (_, n) => `${n}`)
    const template = `"${names.map(each => `{{a.${each}}}`).join('')}"`
    expect(payloadOf(template, `{"a":[${names.map(() => '1').join()}]}`)).toBe(`"${'1'.repeat(7_000)}"`)
  })
})

/** Character with its JSON spelling. */
interface Unit {
  readonly said: string
  readonly written: string
}
type Units = readonly Unit[]
/** Document as written. */
type Node =
  | { readonly scalar: string }
  | { readonly units: Units }
  | { readonly items: readonly Node[] }
  | { readonly members: readonly (readonly [Units, Node])[] }

const writtenOf = (units: Units): string => units.map(({ written }) => written).join('')
const saidOf = (units: Units): string => units.map(({ said }) => said).join('')

function print(node: Node, blank = ''): string {
  if ('scalar' in node) return node.scalar
  if ('units' in node) return `"${writtenOf(node.units)}"`
  if ('items' in node)
    return `[${blank}${node.items.map(item => print(item, blank)).join(`${blank},`)}${blank}]`
  const members = node.members.map(([key, value]) => `"${writtenOf(key)}"${blank}:${print(value, blank)}`)
  return `{${members.join(`,${blank}`)}${blank}}`
}

/** Renders character by character by the documented rules; slow, and independent of the code. */
function reference(
  template: Node,
  variables: Node,
): { readonly payload: string; readonly missing: string[] } {
  const missing: string[] = []
  const child = (node: Node | undefined, key: string): Node | undefined => {
    if (node !== undefined && 'members' in node)
      return node.members.findLast(([name]) => saidOf(name) === key)?.[1]
    if (node !== undefined && 'items' in node && String(Number(key)) === key) return node.items[Number(key)]
    return undefined
  }
  const lookUp = (variable: string): Node | undefined => {
    let found = child(variables, variable)
    if (found === undefined && variable.includes('.')) {
      found = variables
      for (const step of variable.split('.')) found = child(found, step)
    }
    if (found === undefined && !missing.includes(variable)) missing.push(variable)
    return found
  }
  const insideOf = (node: Node): string => {
    if ('units' in node) return writtenOf(node.units)
    if ('scalar' in node) return node.scalar === 'null' ? '' : node.scalar
    return JSON.stringify(print(node)).slice(1, -1)
  }
  /** Length of the name that begins here, if two closing braces follow it. */
  const nameAt = (units: Units, start: number): number => {
    let end = start
    while (end < units.length && units[end]?.said !== '{' && units[end]?.said !== '}') end++
    const closes = units[end]?.said === '}' && units[end + 1]?.said === '}'
    return closes && end - start <= 128 ? end - start : 0
  }
  const fill = (units: Units): string => {
    let out = ''
    for (let at = 0; at < units.length; at++) {
      const opens = units[at]?.said === '{' && units[at + 1]?.said === '{'
      const length = opens ? nameAt(units, at + 2) : 0
      const place = units.slice(at, at + 4 + length)
      const found = length > 0 ? lookUp(saidOf(place.slice(2, -2))) : undefined
      if (length === 0) out += units[at]?.written
      else {
        out += found === undefined ? writtenOf(place) : insideOf(found)
        at += 3 + length
      }
    }
    return out
  }
  const value = (node: Node): string => {
    if ('scalar' in node) return node.scalar
    if ('items' in node) return `[${node.items.map(value).join()}]`
    if ('units' in node) {
      const { units } = node
      const isWhole =
        units.length > 6 && saidOf(units.slice(0, 3)) === '{{{' && saidOf(units.slice(-3)) === '}}}'
      const inner = units.slice(3, -3)
      const isName = inner.length <= 128 && inner.every(({ said }) => said !== '{' && said !== '}')
      if (!isWhole || !isName) return `"${fill(units)}"`
      const found = lookUp(saidOf(inner))
      return found === undefined ? `"${writtenOf(units)}"` : print(found)
    }
    const members = node.members.map(([key, below], n) => {
      const filled = fill(key)
      return {
        n,
        from: [...saidOf(key)].map(c => c.codePointAt(0) ?? 0),
        filled,
        to: JSON.parse(`"${filled}"`),
        text: value(below),
      }
    })
    const compare = (a: readonly number[], b: readonly number[]): number => {
      const n = a.findIndex((code, index) => code !== b[index])
      return n < 0 ? a.length - b.length : (a[n] ?? 0) - (b[n] ?? -1)
    }
    const isFilled = node.members.some(([key]) => /\{\{[^{}]{1,128}\}\}/u.test(saidOf(key)))
    const last = new Map(
      members.toSorted((a, b) => compare(a.from, b.from) || a.n - b.n).map(member => [member.to, member]),
    )
    const kept = isFilled ? members.filter(member => last.get(member.to) === member) : members
    return `{${kept.map(({ filled, text }) => `"${filled}":${text}`).join()}}`
  }
  return { payload: value(template), missing }
}

const hex = (code: number) => `\\u${code.toString(16).padStart(4, '0')}`
const escapedUnit = (said: string): Unit => ({
  said,
  written: Array.from({ length: said.length }, (_, n) => hex(said.charCodeAt(n))).join(''),
})
const plainUnit = (said: string): Unit => ({ said, written: JSON.stringify(said).slice(1, -1) })
const unitsOf = (text: string): fc.Arbitrary<Units> =>
  fc.tuple(...[...text].map(said => fc.boolean().map(plain => (plain ? plainUnit(said) : escapedUnit(said)))))
const NAMES = ['a', 'b', 'a.b', 'a.0', 'b.1.a', ' a', 'é', '😀', '\ue000', '__proto__', 'a.', '$&']
const texts = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...NAMES).map(each => `{{${each}}}`) },
      { weight: 2, arbitrary: fc.constantFrom(...NAMES).map(each => `{{{${each}}}}`) },
      {
        weight: 2,
        arbitrary: fc.constantFrom('{', '}', '{{', '}}', 'x', '"', '\\', '\n', '名', '\ud800', '{{x'),
      },
      { weight: 1, arbitrary: fc.constantFrom(128, 129).map(length => `{{${'é'.repeat(length)}}}`) },
    ),
    { maxLength: 4 },
  )
  .chain(parts => unitsOf(parts.join('')))
const scalar = fc
  .constantFrom('null', 'true', 'false', '0', '-0', '1.10', '1e400', '12345678901234567890', '1E-7')
  .map(each => ({ scalar: each }))
const treeOf = (strings: fc.Arbitrary<Units>, keys: fc.Arbitrary<Units>) =>
  fc.letrec<{ node: Node }>(tie => ({
    node: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      scalar,
      strings.map(units => ({ units })),
      fc.array(tie('node'), { maxLength: 3 }).map(items => ({ items })),
      fc.array(fc.tuple(keys, tie('node')), { maxLength: 4 }).map(members => ({ members })),
    ),
  })).node
const variableKeys = fc
  .constantFrom('a', 'b', 'a.b', '0', '1', ' a', 'é', '😀', '\ue000', '__proto__', '', '$&')
  .chain(unitsOf)
const values = treeOf(texts, variableKeys)
const variablesOf = fc.array(fc.tuple(variableKeys, values), { maxLength: 8 }).map(members => ({ members }))

test('5,000 random templates are rendered like by a slow reading of the rules', () => {
  const seed = Date.now() % 2 ** 31
  const outcomes = { missing: 0, replaced: 0 }
  fc.assert(
    fc.property(
      treeOf(texts, texts),
      variablesOf,
      fc.constantFrom('', ' ', ' \t '),
      (template, variables, blank) => {
        const expected = reference(template, variables)
        const written = print(template, blank)
        if (expected.missing.length > 0) outcomes.missing++
        if (expected.payload !== print(template)) outcomes.replaced++
        const compiled = compile(written)
        const given = print(variables, blank)
        const result = render(compiled, given, { strict: false, maxBytes: 10_000_000 })
        expect(result).toEqual({ ok: true, payload: expected.payload })
        expect(() => JSON.parse(expected.payload)).not.toThrow()
        const strict = render(compiled, given, { strict: true, maxBytes: 10_000_000 })
        if (expected.missing.length === 0) expect(strict).toEqual(result)
        else
          expect(!strict.ok && strict.fault === 'missing' && new Set(strict.names)).toEqual(
            new Set(expected.missing),
          )
      },
    ),
    { numRuns: 5_000, seed },
  )
  // Otherwise the test proves nothing.
  console.log(
    `templates: seed ${seed}, ${outcomes.replaced} with something replaced, ${outcomes.missing} with something missing`,
  )
  expect(outcomes.replaced).toBeGreaterThan(800)
  expect(outcomes.missing).toBeGreaterThan(800)
}, 60_000)
