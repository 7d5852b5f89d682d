import { compact, JsonText, stringOf } from '../lib/json/text.ts'
import { type CompiledTemplate, KEYED, MEMBER, SLOT } from './template.ts'

export type RenderResult =
  | { readonly ok: true; readonly payload: string }
  | { readonly ok: false; readonly fault: 'too_large' }
  | { readonly ok: false; readonly fault: 'missing'; readonly names: readonly string[] }

interface RenderOptions {
  /** Rejects templates with a missing variable. */
  readonly strict: boolean
  /** Bound on the payload, in UTF-8. */
  readonly maxBytes: number
}

/** JSON text for the payload, and its length in UTF-8. */
interface Chunk {
  readonly text: string
  readonly bytes: number
}

/** State of a rendering. Inserts are encoded at their first use. */
interface Rendering extends CompiledTemplate {
  readonly found: readonly (JsonText | undefined)[]
  /** Inserts by name: text inside strings, and whole values. */
  readonly inserts: readonly [texts: (Chunk | undefined)[], values: (Chunk | undefined)[]]
  readonly maxBytes: number
  /** Indexes of the next slot and the next keyed object. */
  slot: number
  keyed: number
  payload: string
  bytes: number
  /** Key bytes of keyed objects, displaced keys included. */
  keyBytes: number
}

/** Bounds the work on displaced keys, which the cap of the payload does not. */
const MAX_KEY_BYTES = 262_144

/** Finds the variable of exactly that name, else by a path of keys and indexes. */
const find = (variables: JsonText, name: string): JsonText | undefined =>
  variables.get(name) ??
  (name.includes('.')
    ? name.split('.').reduce<JsonText | undefined>((at, key) => at?.get(key), variables)
    : undefined)

/** The value as JSON text inside a string, without quotes. */
function textOf(json: string): string {
  if (json.startsWith('"')) return json.slice(1, -1)
  if (json.startsWith('{') || json.startsWith('[')) return JSON.stringify(compact(json)).slice(1, -1)
  return json === 'null' ? '' : json
}

const END = Number.POSITIVE_INFINITY

/** A slice of the template's text. */
function written({ text, isAscii }: Rendering, start: number, end: number): Chunk {
  const slice = text.slice(start, end)
  return { text: slice, bytes: isAscii ? slice.length : Buffer.byteLength(slice) }
}

const startOfSlot = ({ slots, slot }: Rendering): number => slots[slot * SLOT.size + SLOT.start] ?? END
const endOfSlot = ({ slots, slot }: Rendering): number => slots[slot * SLOT.size + SLOT.end] ?? END
const startOfKeyed = ({ keyeds, keyed }: Rendering): number => keyeds[keyed * KEYED.size + KEYED.start] ?? END

/** Text for the next slot; the placeholder itself when the variable is missing. */
function insertOf(rendering: Rendering): Chunk {
  const { found, slots, slot } = rendering
  const numbered = slots[slot * SLOT.size + SLOT.name] ?? 0
  const name = numbered >> 1
  const isValue = (numbered & 1) === 1
  const inserts = rendering.inserts[isValue ? 1 : 0]
  const known = inserts[name]
  if (known !== undefined) return known
  const json = found[name]?.text
  if (json === undefined) return written(rendering, startOfSlot(rendering), endOfSlot(rendering))
  const text = isValue ? compact(json) : textOf(json)
  const insert = { text, bytes: Buffer.byteLength(text) }
  inserts[name] = insert
  return insert
}

/** False: the payload is over its cap. */
function put(rendering: Rendering, { text, bytes }: Chunk): boolean {
  rendering.bytes += bytes
  if (rendering.bytes > rendering.maxBytes) return false
  rendering.payload += text
  return true
}

/** Returns undefined beyond MAX_KEY_BYTES. */
function keyOf(rendering: Rendering, start: number, end: number): Chunk | undefined {
  let text = ''
  let bytes = 0
  const add = (chunk: Chunk): void => {
    text += chunk.text
    bytes += chunk.bytes
    rendering.keyBytes += chunk.bytes
  }
  let at = start
  while (startOfSlot(rendering) < end && rendering.keyBytes <= MAX_KEY_BYTES) {
    add(written(rendering, at, startOfSlot(rendering)))
    add(insertOf(rendering))
    at = endOfSlot(rendering)
    rendering.slot++
  }
  add(written(rendering, at, end))
  return rendering.keyBytes > MAX_KEY_BYTES ? undefined : { text, bytes }
}

/** Keys may become equal: the last by rank stays, and only its value is rendered. */
function putKeyed(rendering: Rendering): boolean {
  const { keyeds, members } = rendering
  const own = (field: number): number => keyeds[at + field] ?? 0
  const of = (member: number, field: number): number => members[member * MEMBER.size + field] ?? 0
  const at = rendering.keyed * KEYED.size
  const kept = new Map<string, { readonly key: Chunk; readonly member: number }>()
  const first = own(KEYED.firstMember)
  for (let member = first; member < first + own(KEYED.memberCount); member++) {
    rendering.slot = of(member, MEMBER.keySlot)
    const key = keyOf(rendering, of(member, MEMBER.keyStart), of(member, MEMBER.keyEnd))
    if (key === undefined) return false
    const name = stringOf(key.text)
    const other = kept.get(name)
    if (other !== undefined && of(other.member, MEMBER.rank) > of(member, MEMBER.rank)) continue
    kept.delete(name)
    kept.set(name, { key, member })
  }
  let before = '{'
  for (const { key, member } of kept.values()) {
    if (!put(rendering, { text: `${before}${key.text}:`, bytes: key.bytes + 2 })) return false
    rendering.slot = of(member, MEMBER.valueSlot)
    rendering.keyed = of(member, MEMBER.valueKeyed)
    if (!putRange(rendering, of(member, MEMBER.keyEnd) + 1, of(member, MEMBER.valueEnd))) return false
    before = ','
  }
  rendering.slot = own(KEYED.slotAfter)
  rendering.keyed = own(KEYED.keyedAfter)
  return put(rendering, { text: '}', bytes: 1 })
}

/** Renders the text from `start` to `end`; false: the payload is over its cap. */
function putRange(rendering: Rendering, start: number, end: number): boolean {
  for (let at = start; ; ) {
    const keyedAt = startOfKeyed(rendering)
    const slotAt = startOfSlot(rendering)
    const next = Math.min(keyedAt, slotAt, end)
    if (next > at && !put(rendering, written(rendering, at, next))) return false
    if (next === end) return true
    if (keyedAt === next) {
      at = rendering.keyeds[rendering.keyed * KEYED.size + KEYED.end] ?? end
      if (!putKeyed(rendering)) return false
    } else {
      if (!put(rendering, insertOf(rendering))) return false
      at = endOfSlot(rendering)
      rendering.slot++
    }
  }
}

/**
 * Renders the payload as JSON text without white space between tokens. `variables` is the JSON text of an object.
 * Inserted text is never searched for placeholders. The work stops at `maxBytes`.
 */
export function render(
  template: CompiledTemplate,
  variables: string,
  { strict, maxBytes }: RenderOptions,
): RenderResult {
  const { names, text } = template
  const root = JsonText.of(variables)
  const found = names.map(name => find(root, name))
  const missing = strict ? names.filter((_, n) => found[n] === undefined) : []
  if (missing.length > 0) return { ok: false, fault: 'missing', names: missing }
  const rendering: Rendering = {
    ...template,
    found,
    inserts: [[], []],
    maxBytes,
    slot: 0,
    keyed: 0,
    payload: '',
    bytes: 0,
    keyBytes: 0,
  }
  if (!putRange(rendering, 0, text.length)) return { ok: false, fault: 'too_large' }
  return { ok: true, payload: rendering.payload }
}
