import { compact, JsonText, stringOf } from '../lib/json-text.ts'
import {
  type Chunk,
  type Compiled,
  chunkOf,
  type Keyed,
  type Member,
  type Part,
  type Slot,
} from './template.ts'

export type Rendered =
  | { readonly ok: true; readonly payload: string }
  | { readonly ok: false; readonly fault: 'too_large' }
  | { readonly ok: false; readonly fault: 'missing'; readonly names: readonly string[] }

interface RenderOptions {
  /** Whether a place without its variable is a fault. */
  readonly strict: boolean
  /** Of the payload, in UTF-8. */
  readonly maxBytes: number
}

/** Under way; what is inserted is made when it is first needed. */
interface Rendering {
  readonly found: readonly (JsonText | undefined)[]
  readonly inserts: Record<Slot['as'], (Chunk | undefined)[]>
  readonly maxBytes: number
  payload: string
  bytes: number
  /** Bytes of keys of objects with a variable in a key, those included that another key displaces. */
  keyBytes: number
}

/** Displaced keys are not in the payload, so its cap does not bound the work on them. */
const MAX_KEY_BYTES = 262_144

/** The variable of exactly that name, else what a path of keys and indexes leads to. */
const find = (variables: JsonText, name: string): JsonText | undefined =>
  variables.get(name) ??
  (name.includes('.')
    ? name.split('.').reduce<JsonText | undefined>((at, key) => at?.get(key), variables)
    : undefined)

/** What a value is inside a string: JSON text of a string's inside. */
function textOf(json: string): string {
  if (json.startsWith('"')) return json.slice(1, -1)
  if (json.startsWith('{') || json.startsWith('[')) return JSON.stringify(compact(json)).slice(1, -1)
  return json === 'null' ? '' : json
}

function insertOf({ found, inserts }: Rendering, { name, as, written }: Slot): Chunk {
  const known = inserts[as][name]
  if (known !== undefined) return known
  const json = found[name]?.text
  if (json === undefined) return written
  const insert = chunkOf(as === 'text' ? textOf(json) : compact(json))
  inserts[as][name] = insert
  return insert
}

/** False as soon as the payload is over its cap. */
function put(rendering: Rendering, { text, bytes }: Chunk): boolean {
  rendering.bytes += bytes
  if (rendering.bytes > rendering.maxBytes) return false
  rendering.payload += text
  return true
}

/** Undefined when there are too many bytes of keys. */
function keyOf(rendering: Rendering, parts: Member['key']): Chunk | undefined {
  let text = ''
  let bytes = 0
  for (const part of parts) {
    const chunk = 'name' in part ? insertOf(rendering, part) : part
    rendering.keyBytes += chunk.bytes
    if (rendering.keyBytes > MAX_KEY_BYTES) return undefined
    bytes += chunk.bytes
    text += chunk.text
  }
  return { text, bytes }
}

/** Of keys that become one the last as written stays, in its place; the values of the others are not even rendered. */
function putKeyed(rendering: Rendering, { members }: Keyed): boolean {
  const kept = new Map<string, { readonly key: Chunk; readonly member: Member }>()
  for (const member of members) {
    const key = keyOf(rendering, member.key)
    if (key === undefined) return false
    const name = stringOf(key.text)
    if (member.rank >= (kept.get(name)?.member.rank ?? 0)) {
      kept.delete(name)
      kept.set(name, { key, member })
    }
  }
  let before = '{'
  for (const { key, member } of kept.values()) {
    if (!put(rendering, { text: `${before}${key.text}:`, bytes: key.bytes + 2 })) return false
    if (!putAll(rendering, member.value)) return false
    before = ','
  }
  return put(rendering, chunkOf('}'))
}

function putAll(rendering: Rendering, parts: readonly Part[]): boolean {
  return parts.every(part => {
    if ('text' in part) return put(rendering, part)
    return 'name' in part ? put(rendering, insertOf(rendering, part)) : putKeyed(rendering, part)
  })
}

/**
 * The payload, as JSON text without white space between its tokens. `variables` is the JSON text of an object. What is
 * inserted is never looked at again, and no more is put together than `maxBytes`.
 */
export function render(
  { names, parts }: Compiled,
  variables: string,
  { strict, maxBytes }: RenderOptions,
): Rendered {
  const root = JsonText.of(variables)
  const found = names.map(name => find(root, name))
  const missing = strict ? names.filter((_, n) => found[n] === undefined) : []
  if (missing.length > 0) return { ok: false, fault: 'missing', names: missing }
  const inserts = { text: [], value: [] }
  const rendering: Rendering = { found, inserts, maxBytes, payload: '', bytes: 0, keyBytes: 0 }
  if (!putAll(rendering, parts)) return { ok: false, fault: 'too_large' }
  return { ok: true, payload: rendering.payload }
}
