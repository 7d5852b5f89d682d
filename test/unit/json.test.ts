import { describe, expect, test } from 'bun:test'
import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { parseJson, type Shape, scanJson } from '../../src/lib/json/scan.ts'
import { decodeUtf8 } from '../../src/lib/json/utf8.ts'

const MAX_DEPTH = 64

const known: Shape = {}
const raw: Shape = { raw: true }
const object = (...keys: readonly (readonly [string, Shape])[]): Shape => ({ keys: new Map(keys) })
const array = (items: Shape): Shape => ({ items })

const event = object(['type', known], ['payload', raw])
const request = object(
  ['a', known],
  ['payload', raw],
  ['ttl', raw],
  ['__proto__', raw],
  ['event', event],
  ['channels', array(known)],
  ['notifications', array(event)],
  ['grid', array(array(raw))],
)

const scanned = (text: string, shape = request) => {
  const scan = scanJson(text, shape, MAX_DEPTH)
  if (!scan.ok) throw new Error(`too deep: ${text}`)
  return { raw: Object.fromEntries(scan.raw), repeated: scan.repeated }
}
const rawOf = (text: string, shape?: Shape) => scanned(text, shape).raw
const repeatedOf = (text: string, shape?: Shape) => scanned(text, shape).repeated

const nested = (levels: number, inside = ''): string => '['.repeat(levels) + inside + ']'.repeat(levels)

describe('A raw value', () => {
  test.each([
    '1.10',
    '1e400',
    '-0',
    '-0.0E+00',
    '12345678901234567890',
    'null',
    'true',
    'false',
    '""',
    '"text"',
    '{}',
    '[]',
    '[1, 2 ,3]',
    '{"b":1,"a":{"payload":2}}',
    '{"a":1,"a":2,"payload":3,"payload":4}',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0041\\/\\b"',
    '"\\""',
    '"\\\\"',
    '"\\\\\\""',
    '"\\"\\",]}"',
    '"]}{[,:"',
    '["\\"]","}"]',
    '{"}":"{","\\"":"\\\\"}',
    '"\u2028 \u00a0 é 漢 🎉"',
    '"  blanks inside  "',
  ])('keeps its text, wherever it stands: %s', value => {
    expect(rawOf(value, raw)).toEqual({ '': value })
    expect(rawOf(`{"payload":${value}}`)).toEqual({ payload: value })
    expect(rawOf(`{"x":[{"payload":0}],"payload":${value},"a":"payload"}`)).toEqual({ payload: value })
    expect(rawOf(`{"grid":[[],[${value},${value}]]}`)).toEqual({ 'grid[1][0]': value, 'grid[1][1]': value })
    const items = `[{},null,{"type":1},{"type":"[","payload":${value}}]`
    expect(rawOf(`{"notifications":${items}}`)).toEqual({ 'notifications[3].payload': value })
    expect(rawOf(items, array(event))).toEqual({ '[3].payload': value })
    expect(rawOf(`{"event":{"payload":${value}},"ttl":${value}}`)).toEqual({
      'event.payload': value,
      ttl: value,
    })
  })

  test.each([
    ['{"payload":1}', '1'],
    ['\t{ "payload" :\r\n 1 \t}\n', '1'],
    ['{"payload"\n:\n{}\n,"a":1}', '{}'],
    ['{"payload": "a b" }', '"a b"'],
    ['{"payload":[1,\n2,\r\n3]}', '[1, 2,  3]'],
    ['{"payload":{\r\t"a"\n:\r1\n}\r\n}', '{ \t"a" : 1 }'],
    ['{"payload":["\\n\\r"\n]}', '["\\n\\r" ]'],
    ['{"a":[\n],"payload":[\t1]}', '[\t1]'],
  ])('is trimmed, and stands on one line: %j', (text, payload) => {
    expect(rawOf(text)).toEqual({ payload })
  })

  test('may be called __proto__', () => {
    const scan = scanJson('{"__proto__":{"a":1}}', request, MAX_DEPTH)
    expect(scan).toEqual({ ok: true, raw: new Map([['__proto__', '{"a":1}']]), repeated: [] })
  })

  test('may have an escaped key', () => {
    expect(rawOf('{"\\u0070ayload":1,"even\\u0074":{"p\\u0061yload":2}}')).toEqual({
      payload: '1',
      'event.payload': '2',
    })
  })

  test('is not found below an unknown key, inside another raw value, or at another type', () => {
    const texts = [
      '{"x":{"payload":1}}',
      '{"a":{"payload":1}}',
      '{"event":[{"payload":1}]}',
      '{"notifications":{"payload":1}}',
      '{"event":"payload","notifications":null,"channels":7}',
      '{"channels":[{"payload":1}]}',
      '[{"payload":1}]',
      '{"pay":1,"payload2":1,"Payload":1,"payload\\u0000":1,"\\\\payload":1}',
      '"payload"',
      '0',
    ]
    for (const text of texts) expect(scanned(text)).toEqual({ raw: {}, repeated: [] })
  })
})

describe('A repeated key', () => {
  test.each([
    ['{"a":1,"a":1}', ['a']],
    ['{"a":1,"\\u0061":2}', ['a']],
    ['{"\\u0061":1,"\\u0061":2,"a":3}', ['a']],
    ['{"a":1,"x":"a","event":{"type":1},"a":1}', ['a']],
    ['{"ttl":1,"a":1,"a":1,"ttl":1}', ['a', 'ttl']],
    ['{"event":{"type":1,"type":2}}', ['event.type']],
    ['{"event":{},"event":{}}', ['event']],
    ['{"event":{"type":1,"type":1},"event":{"type":1,"type":1}}', ['event.type', 'event']],
    ['{"notifications":[{"type":1},{"type":1,"type":1}]}', ['notifications[1].type']],
    ['{"__proto__":1,"__proto__":2}', ['__proto__']],
    ['{"channels":[],"channels":null}', ['channels']],
  ])('is reported once, by its path: %s', (text, repeated) => {
    expect([...repeatedOf(text)].sort()).toEqual([...repeated].sort())
  })

  test.each([
    '{"x":1,"x":2}',
    '{"x":{"a":1,"a":2}}',
    '{"a":{"a":1,"a":2}}',
    '{"payload":{"a":1,"a":2}}',
    '{"a":1,"A":2,"a\\u0000":3,"\\\\u0061":4}',
    '{"event":{"type":1},"notifications":[{"type":1},{"type":1}]}',
    '{"event":[{"type":1,"type":1}]}',
  ])('is no fault in two objects, when unknown, or inside what is not looked at: %s', text => {
    expect(repeatedOf(text)).toEqual([])
  })

  test.each([
    ['{"payload":1,"payload":2}', { payload: '2' }],
    ['{"payload":1,"\\u0070ayload":[2]}', { payload: '[2]' }],
    ['{"event":{"payload":1},"event":{"payload":2}}', { 'event.payload': '2' }],
    ['{"event":{"payload":1},"event":{"type":2}}', {}],
    ['{"event":{"payload":1},"event":null}', {}],
    ['{"event":{"payload":1},"event":null,"event":{"payload":3}}', { 'event.payload': '3' }],
    ['{"grid":[[1,2],[3]],"ttl":1,"grid":[[4]]}', { ttl: '1', 'grid[0][0]': '4' }],
    ['{"event":{"payload":1,"payload":2},"event":{}}', {}],
  ])('has its last value, and nothing of the earlier ones: %s', (text, expected) => {
    expect(rawOf(text)).toEqual(expected)
  })
})

describe('Nesting', () => {
  const places: readonly (readonly [string, number, (value: string) => string])[] = [
    ['the document', 0, value => value],
    ['an unknown value', 1, value => `{"x":${value}}`],
    ['a known value', 1, value => `{"a":${value}}`],
    ['a raw value', 1, value => `{"payload":${value}}`],
    ['a raw value of an item', 3, value => `{"notifications":[{"payload":${value}}]}`],
    ['a value of another type', 1, value => `{"event":${value}}`],
    ['an item of another type', 2, value => `{"notifications":[${value}]}`],
    ['the last of many values', 2, value => `[[],{},[[],[]],[{"x":[]},${value}]]`],
  ]

  test.each(places)('of %s is counted from the outermost object or array', (_, above, around) => {
    for (const inside of ['', '1', '"[[{{"', '"\\"["', '"\\\\"']) {
      const deepest = around(nested(MAX_DEPTH - above, inside))
      const tooDeep = around(nested(MAX_DEPTH - above + 1, inside))
      expect(parseJson(deepest, request, MAX_DEPTH).ok).toBe(true)
      expect(scanJson(tooDeep, request, MAX_DEPTH)).toEqual({ ok: false })
      expect(parseJson(tooDeep, request, MAX_DEPTH)).toEqual({ ok: false, fault: 'depth' })
    }
  })

  test('is counted in known places too', () => {
    const text = '{"notifications":[{"payload":1}]}'
    expect(scanJson(text, request, 3).ok).toBe(true)
    expect(scanJson(text, request, 2)).toEqual({ ok: false })
    expect(scanJson('1', request, 0).ok).toBe(true)
  })

  test('of a hundred thousand levels is refused like any excess', () => {
    for (const deep of ['[', '{"a":', '{"payload":', '{"event":', '{"notifications":['])
      expect(parseJson(deep.repeat(100_000), request, MAX_DEPTH)).toEqual({ ok: false, fault: 'depth' })
  })

  test('does not count brackets in strings', () => {
    const text = `{"payload":${JSON.stringify('[{'.repeat(100))},${JSON.stringify('['.repeat(100))}:1}`
    expect(parseJson(text, request, MAX_DEPTH).ok).toBe(true)
  })
})

describe('A text that is no JSON', () => {
  const broken = [
    '',
    ' ',
    '\n\t\r ',
    '\0',
    '\ufeff{}',
    '{',
    '[',
    '"',
    '\\',
    '"\\',
    '"\\"',
    '}',
    ']',
    ',',
    ':',
    '{]',
    '[}',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{"a" 1}',
    '{"a',
    '{"a\\',
    '{"a\\":1}',
    '{"\\u00":1}',
    '{"\\x":1,"payload":1}',
    '{"\\u0061":1,"\\u006":1}',
    '{a:1}',
    '{"payload":',
    '{"payload":}',
    '{"payload": , "ttl":1}',
    '{"payload":1 2}',
    '{"payload":"',
    '{"payload":"\\"}',
    '{"payload":[1}',
    '{"payload":{"a":1]',
    '{"payload":1}}}}',
    '{"payload":1}{',
    '{"payload":"a\nb"}',
    '{"event":{"payload":1}',
    '{"notifications":[',
    '{"notifications":[,]}',
    '{"notifications":[{"payload":1},]}',
    '{"notifications":[{"payload":1}',
    '{"notifications":{]',
    '{"payload":\u00a01}',
    ']]]]]]]]{"payload":1}',
    'undefined',
    '01',
  ]

  test.each(broken)('is a fault, not an exception: %j', text => {
    expect(parseJson(text, request, MAX_DEPTH)).toEqual({ ok: false, fault: 'syntax' })
    expect(scanJson(text, raw, MAX_DEPTH).ok).toBe(true)
    expect(scanJson(text, array(raw), MAX_DEPTH).ok).toBe(true)
  })

  // Quadratic cost would need minutes for each of these.
  test.each(['\\', '"', '\\"', '{"a":"\\\\', ' ', '"\\u0061":', '"\\x":1,', '{"a\\":1,', '{"payload":1,'])(
    'costs little however long it is: %j again and again',
    part => {
      const long = part.repeat(100_000)
      for (const start of ['', '"', '{', '{"', '{"payload":"', '{"payload":', '{"x":'])
        expect(parseJson(start + long, request, Number.POSITIVE_INFINITY)).toEqual({
          ok: false,
          fault: 'syntax',
        })
    },
  )

  test('stays cheap with very many repeated keys', () => {
    const items = Array(20_000).fill('{"payload":1,"payload":2}').join()
    const text = `{"notifications":[${items}]${',"a":1,"event":{"payload":1}'.repeat(20_000)}}`
    const { raw: found, repeated } = scanned(text)
    expect(found['notifications[19999].payload']).toBe('2')
    expect([Object.keys(found).length, repeated.length]).toEqual([20_001, 20_002])
  })
})

describe('A value', () => {
  test('comes with the findings of its text', () => {
    expect(parseJson('{"payload":1.10,"a":true,"a":null}', request, MAX_DEPTH)).toEqual({
      ok: true,
      value: { payload: 1.1, a: null },
      raw: new Map([['payload', '1.10']]),
      repeated: ['a'],
    })
    expect(parseJson('null', request, MAX_DEPTH)).toEqual({
      ok: true,
      value: null,
      raw: new Map(),
      repeated: [],
    })
  })
})

/** Document as written: scalars as text, objects with ordered, possibly repeated keys. */
type Node = string | readonly Node[] | { readonly members: readonly (readonly [Key, Node])[] }
interface Key {
  readonly name: string
  readonly escaped: boolean
}

const scalars = fc.oneof(
  fc.constantFrom(
    '1.10',
    '1e400',
    '-0',
    '12345678901234567890',
    'null',
    'true',
    '"\\ud800"',
    '"\\\\"',
    '"\\"["',
  ),
  fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
)
const names = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('a', 'payload', 'event', 'type', 'notifications', 'grid') },
  { weight: 1, arbitrary: fc.string() },
)
const keys: fc.Arbitrary<Key> = fc.record({ name: names, escaped: fc.boolean() })
const { node: nodes } = fc.letrec<{ node: Node }>(tie => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.record({ members: fc.array(fc.tuple(keys, tie('node')), { maxLength: 6 }) }),
  ),
}))
const blanks = fc.array(fc.constantFrom('', '', ' ', '\t', '\n', '\r\n'), { minLength: 1, maxLength: 9 })
const shapes = fc.constantFrom(request, event, raw, known, array(request), array(array(raw)))

const escaped = (text: string): string =>
  Array.from(
    { length: text.length },
    (_, n) => `\\u${text.charCodeAt(n).toString(16).padStart(4, '0')}`,
  ).join('')

const written = ({ name, escaped: isEscaped }: Key): string =>
  isEscaped ? `"${escaped(name)}"` : JSON.stringify(name)

function textOf(node: Node, spaces: readonly string[]): string {
  let used = 0
  const space = () => spaces[used++ % spaces.length] ?? ''
  const inner = (part: Node): string => {
    if (typeof part === 'string') return space() + part + space()
    if ('members' in part) {
      const members = part.members.map(
        ([key, value]) => `${space()}${written(key)}${space()}:${inner(value)}`,
      )
      return `${space()}{${members.join()}${space()}}${space()}`
    }
    return `${space()}[${part.map(inner).join()}${space()}]${space()}`
  }
  return inner(node)
}

function depthOf(node: Node): number {
  if (typeof node === 'string') return 0
  const children = 'members' in node ? node.members.map(([, value]) => value) : node
  return 1 + Math.max(0, ...children.map(depthOf))
}

const joined = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`)

function repeatedIn(node: Node, shape: Shape, path = ''): readonly string[] {
  if (typeof node === 'string' || shape.raw) return []
  if (!('members' in node)) {
    const { items } = shape
    return items === undefined ? [] : node.flatMap((item, n) => repeatedIn(item, items, `${path}[${n}]`))
  }
  return node.members.flatMap(([{ name }, value], n) => {
    const below = shape.keys?.get(name)
    if (below === undefined) return []
    const isRepeated = node.members.slice(0, n).some(([other]) => other.name === name)
    return [...(isRepeated ? [joined(path, name)] : []), ...repeatedIn(value, below, joined(path, name))]
  })
}

/** Parsed raw values by path. */
function rawIn(value: unknown, shape: Shape, path = ''): readonly (readonly [string, unknown])[] {
  if (shape.raw) return [[path, value]]
  if (typeof value !== 'object' || value === null) return []
  const { items, keys: below } = shape
  if (Array.isArray(value))
    return items === undefined ? [] : value.flatMap((item, n) => rawIn(item, items, `${path}[${n}]`))
  return Object.entries(value).flatMap(([name, member]) => {
    const child = below?.get(name)
    return child === undefined ? [] : rawIn(member, child, joined(path, name))
  })
}

describe('Of any document', () => {
  test('the raw texts equal the values of JSON.parse, on one line', () => {
    fc.assert(
      fc.property(nodes, shapes, blanks, (node, shape, spaces) => {
        const text = textOf(node, spaces)
        const parsed = parseJson(text, shape, MAX_DEPTH)
        if (!parsed.ok) throw new Error(parsed.fault)
        expect(parsed.value).toEqual(JSON.parse(text))
        const found = [...parsed.raw].map(([path, slice]) => [path, JSON.parse(slice)] as const)
        expect(new Map(found)).toEqual(new Map(rawIn(parsed.value, shape)))
        for (const slice of parsed.raw.values()) {
          expect(slice).not.toMatch(/^\s|[\r\n]|\s$/)
          expect(text.replace(/[\r\n]/g, ' ')).toContain(slice)
        }
      }),
      { numRuns: 500 },
    )
  })

  test('the repeated keys equal those found by a check of each object', () => {
    fc.assert(
      fc.property(nodes, shapes, blanks, (node, shape, spaces) => {
        const repeated = repeatedOf(textOf(node, spaces), shape)
        expect([...repeated].sort()).toEqual([...new Set(repeatedIn(node, shape))].sort())
      }),
      { numRuns: 500 },
    )
  })

  test('the depth equals that of a recursive count', () => {
    fc.assert(
      fc.property(nodes, shapes, blanks, fc.integer({ min: 0, max: 6 }), (node, shape, spaces, maxDepth) => {
        expect(scanJson(textOf(node, spaces), shape, maxDepth).ok).toBe(depthOf(node) <= maxDepth)
      }),
      { numRuns: 500 },
    )
  })
})

describe('Of any text', () => {
  const pieces = fc.constantFrom(
    ...[
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      ' ',
      '\n',
      '\0',
      '\ud800',
      'é',
      '1',
      'null',
      'u0061',
      '\\u0061',
    ],
    ...[
      '"a":',
      '"payload":',
      '"\\u0070ayload":',
      '"event":{',
      '"notifications":[',
      '{"payload":1}',
      '{"a":1,',
    ],
  )
  const cut = fc
    .tuple(nodes, blanks, fc.nat(), fc.nat({ max: 3 }), fc.constantFrom('', '"', '\\', '}', ']', ',', ':'))
    .map(([node, spaces, place, removed, added]) => {
      const text = textOf(node, spaces)
      const at = place % (text.length + 1)
      return text.slice(0, at) + added + text.slice(at + removed)
    })
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 30 }).map(parts => parts.join('')),
    cut,
  )

  const verdict = (text: string) => {
    try {
      return { ok: true, value: JSON.parse(text) }
    } catch {
      return { ok: false, fault: 'syntax' }
    }
  }

  test('the verdict equals that of JSON.parse, and the scan never throws', () => {
    fc.assert(
      fc.property(texts, shapes, (text, shape) => {
        expect(parseJson(text, shape, text.length + 1)).toMatchObject(verdict(text))
        expect(() => scanJson(text, shape, 2)).not.toThrow()
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('Bytes', () => {
  const encoder = new TextEncoder()

  test.each(['', '{}', 'é 漢 🎉', '\0', 'a\ufeff', '\ufffd'])('in UTF-8 are their text: %j', text => {
    expect(decodeUtf8(encoder.encode(text))).toBe(text)
  })

  test.each([
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x7b, 0x7d]],
    ['nothing but a byte order mark', [0xef, 0xbb, 0xbf]],
    ['a byte that begins nothing', [0x22, 0xff, 0x22]],
    ['a lone continuation', [0x80]],
    ['a character cut short', [0x22, 0xe6, 0xbc]],
    ['an overlong form', [0xc0, 0x80]],
    ['an encoded surrogate', [0xed, 0xa0, 0x80]],
    ['more than U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00]],
  ])('with %s are no text', (_, bytes) => {
    expect(decodeUtf8(Uint8Array.from(bytes))).toBeUndefined()
    // A fault leaves no state in the decoder.
    expect(decodeUtf8(encoder.encode('"é"'))).toBe('"é"')
  })

  test('are a text exactly when they are UTF-8', () => {
    const parts = fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.string({ unit: 'binary' }).map(text => encoder.encode(text)),
    )
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 4 }), chunks => {
        const bytes = new Uint8Array(Buffer.concat(chunks))
        const isText = isUtf8(bytes) && !(bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
        const text = decodeUtf8(bytes)
        expect(text !== undefined).toBe(isText)
        if (text !== undefined) expect(encoder.encode(text)).toEqual(bytes)
      }),
      { numRuns: 500 },
    )
  })
})
