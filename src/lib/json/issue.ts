import type * as v from 'valibot'

/** Words for the types that schemas expect. */
const WORDS: Readonly<Record<string, string>> = {
  Array: 'a list',
  Object: 'an object',
  boolean: 'true or false',
  number: 'a number',
  string: 'a string',
  never: 'nothing',
}

/** Names the kind of a value, never the value itself. */
function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'boolean'
    ? 'true or false'
    : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

/** `("Low" | "High")` → `one of Low, High`; `(number | string)` → `a number or a string`. */
function inWords(expected: string): string {
  const parts = expected.replace(/^\((.*)\)$/, '$1').split(' | ')
  const words = parts.map(part => WORDS[part] ?? part.replaceAll('"', ''))
  const areValues = parts.every(part => part.startsWith('"'))
  return areValues && words.length > 1 ? `one of ${words.join(', ')}` : words.join(' or ')
}

/** Writes the path of a fault: `notifications[3].target`. */
export function pathOf({ path }: v.BaseIssue<unknown>): string {
  return (path ?? [])
    .map(({ key }, n) => (typeof key === 'number' ? `[${key}]` : `${n === 0 ? '' : '.'}${String(key)}`))
    .join('')
}

/** Says what was expected and which kind came: `expected a whole number of seconds (got a string)`. */
export function messageOf({ kind, input, expected, message }: v.BaseIssue<unknown>): string {
  if (kind === 'schema' && input === undefined) return 'required'
  const wanted = message.startsWith('Invalid ') ? inWords(expected ?? 'another value') : message
  const isOtherText = typeof input === 'string' && expected?.includes('"')
  return `expected ${wanted}${kind === 'schema' && !isOtherText ? ` (got ${kindOf(input)})` : ''}`
}
