import * as v from 'valibot'
import { boundedList, MAX_FAULTS } from '../collections/bounded-list.ts'
import { messageOf, pathOf } from './issue.ts'
import { type QuickRead, quickReadOf, UNSURE } from './quick-read.ts'
import { type ParseResult, parseJson, type Shape } from './scan.ts'

/** JSON Schema keywords that a document adds to a schema. */
export interface Says {
  readonly title?: string
  readonly description?: string
  readonly type?: 'string' | 'object' | 'integer'
  readonly format?: 'date-time' | 'uuid'
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly oneOf?: object[]
}

/** Adds documentation to a schema; in a pipe its rules are documented instead. */
export const documented = <S extends v.GenericSchema>(schema: S, says: Says): S =>
  Object.assign(schema, { says })

/** Makes a check. `says` is its JSON Schema form, which never forbids a valid value. */
export const rule = <T>(holds: (value: T) => boolean, message: string, says: Says) =>
  Object.assign(v.check(holds, message), { says })

/** Reads the notes of `documented` and `rule`. */
export const saysOf = (noted: object): Says => ('says' in noted ? (noted.says as Says) : {})

/** Schema of a value kept as the sender's JSON text; `raw` of the document holds it by path. */
export const anyJson = documented(v.unknown(), { description: 'any JSON, `null` too' })

/** Schema of a JSON integer. Rejects `5.0`, `5e0` and `"5"` by their text. `what` names the value in faults. */
export const integer = (min: number, max: number, what = 'a whole number') =>
  v.pipe(
    v.number(what),
    v.integer(what),
    v.minValue(min, `${what} from ${min} to ${max}`),
    v.maxValue(max, `${what} from ${min} to ${max}`),
    v.metadata({ integer: true }),
  )

/** Schema of a list of bounded length. A longer list is well-formed: the caller must check its length. */
export const listOf = <S extends v.GenericSchema>(
  item: S,
  maxItems: number,
  { readsLong = true, ...says }: Says & { readonly readsLong?: boolean } = {},
) => documented(boundedList(item, maxItems, readsLong), { maxItems, ...says })

/** Chooses the second shape if `isSecond` accepts the value, else the first; checks only the chosen one. */
export const either = <A extends v.GenericSchema, B extends v.GenericSchema>(
  isSecond: (value: unknown) => boolean,
  first: A,
  second: B,
): v.GenericSchema<unknown, v.InferOutput<A> | v.InferOutput<B>> =>
  Object.assign(
    v.lazy<A | B>(value => (isSecond(value) ? second : first)),
    { options: [first, second], isSecond },
  )

/** Lists the two shapes of an `either` schema; none for any other schema. */
export const alternativesOf = (schema: v.GenericSchema): readonly v.GenericSchema[] =>
  (schema as Schema).type === 'lazy' ? ((schema as Schema).options ?? []) : []

/** Rules for reading one kind of document. */
export interface Format<T> {
  readonly schema: v.GenericSchema<unknown, T>
  /** Derived from the schema. */
  readonly quickRead: QuickRead
  readonly shape: Shape
  readonly nesting: Nesting
  /** Keys whose values are integers. */
  readonly integers: ReadonlySet<string>
}

/** Objects inside a shape. */
interface Nesting {
  readonly isObject: boolean
  readonly inside: readonly { readonly key: string; readonly nesting: Nesting }[]
  readonly items: Nesting | undefined
  /** Limits the list; the items of a longer one are not read. */
  readonly most: number
}

/** Place of a fault and the expected value, never the sent one. */
export interface Fault {
  readonly path: string
  readonly message: string
}

export interface Document<T> {
  readonly value: T
  /** Text of each raw value by path: `payload`, `notifications[3].payload`. */
  readonly raw: ReadonlyMap<string, string>
  /** Whole document as sent. */
  readonly text: string
}

export type Reading<T> =
  | ({ readonly ok: true } & Document<T>)
  | { readonly ok: false; readonly fault: 'syntax' | 'depth' }
  | { readonly ok: false; readonly fault: 'shape'; readonly faults: readonly Fault[] }

export const MAX_DEPTH = 64

type Schema = v.GenericSchema & {
  readonly entries?: Record<string, Schema>
  readonly item?: Schema
  readonly wrapped?: Schema
  readonly options?: readonly Schema[]
}

const INTEGER_TEXT = /^-?(?:0|[1-9]\d*)$/

const isInteger = (schema: Schema): boolean =>
  schema.wrapped !== undefined
    ? isInteger(schema.wrapped)
    : (v.getMetadata(schema) as { integer?: boolean }).integer === true

/** Derives from the schema what the scan must find: keys, and values whose text matters. */
function shapeOf(schema: Schema): Shape {
  if (schema === anyJson || isInteger(schema)) return { raw: true }
  if (schema.wrapped !== undefined) return shapeOf(schema.wrapped)
  if (schema.item !== undefined) {
    const { maxItems: most } = saysOf(schema)
    return { items: shapeOf(schema.item), ...(most !== undefined && { most }) }
  }
  const parts = schema.options ?? [schema]
  const entries = parts.flatMap(part => Object.entries(part.entries ?? {}))
  return entries.length === 0 ? {} : { keys: new Map(entries.map(([key, value]) => [key, shapeOf(value)])) }
}

const nestingOf = ({ keys, items, most = Number.POSITIVE_INFINITY }: Shape): Nesting => ({
  isObject: keys !== undefined,
  inside: [...(keys ?? [])]
    .filter(([, below]) => (below.keys ?? below.items) !== undefined)
    .map(([key, below]) => ({ key, nesting: nestingOf(below) })),
  items: items && nestingOf(items),
  most,
})

const partsOf = (schema: Schema): readonly Schema[] =>
  schema.options ?? [schema.wrapped ?? schema.item ?? schema]

const integersOf = (schema: Schema): readonly string[] =>
  partsOf(schema).flatMap(part =>
    part === schema
      ? Object.entries(part.entries ?? {}).flatMap(([key, value]) =>
          isInteger(value) ? [key] : integersOf(value),
        )
      : integersOf(part),
  )

export function formatOf<T>(schema: v.GenericSchema<unknown, T>): Format<T> {
  const shape = shapeOf(schema as Schema)
  const quickRead = quickReadOf(schema)
  return {
    schema,
    quickRead,
    shape,
    nesting: nestingOf(shape),
    integers: new Set(integersOf(schema as Schema)),
  }
}

const lastKey = (path: string): string => path.slice(path.lastIndexOf('.') + 1)

const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39

/** Tests the first character: most raw texts are long and not numbers. */
function isNumber(text: string): boolean {
  const code = text.charCodeAt(0)
  return code === MINUS || (code >= ZERO && code <= NINE)
}

/** True for a number in place of an integer, which only its text shows. */
const isFraction = (path: string, text: string, integers: ReadonlySet<string>): boolean =>
  isNumber(text) && integers.has(lastKey(path)) && !INTEGER_TEXT.test(text)

function hasFraction(raw: ReadonlyMap<string, string>, integers: ReadonlySet<string>): boolean {
  for (const [path, text] of raw) if (isFraction(path, text, integers)) return true
  return false
}

function findFractions(
  raw: ReadonlyMap<string, string>,
  integers: ReadonlySet<string>,
  faults: Fault[],
): void {
  for (const [path, text] of raw)
    if (faults.length < MAX_FAULTS && isFraction(path, text, integers))
      faults.push({ path, message: 'expected a whole number, without fraction or exponent' })
}

/** Finds lists in place of objects: a schema accepts them as objects without keys. */
function findLists(
  value: unknown,
  { isObject, inside, items, most }: Nesting,
  path: string,
  faults: Fault[],
): void {
  if (typeof value !== 'object' || value === null || faults.length >= MAX_FAULTS) return
  if (!Array.isArray(value)) {
    for (const { key, nesting } of inside)
      if (Object.hasOwn(value, key))
        findLists(Reflect.get(value, key), nesting, path === '' ? key : `${path}.${key}`, faults)
  } else if (isObject) faults.push({ path, message: 'expected an object (got a list)' })
  else if (items !== undefined && value.length <= most)
    for (let n = 0; n < value.length; n++) findLists(value[n], items, `${path}[${n}]`, faults)
}

/** Checks repeated keys and shape, and names all faults. */
function judge<T>(
  text: string,
  { value, raw, repeated }: Extract<ParseResult, { ok: true }>,
  { schema, nesting, integers }: Format<T>,
): Reading<T> {
  const result = v.safeParse(schema, value)
  const faults: Fault[] = repeated.slice(0, MAX_FAULTS).map(path => ({ path, message: 'given twice' }))
  findLists(value, nesting, '', faults)
  if (result.success) findFractions(raw, integers, faults)
  else for (const issue of result.issues) faults.push({ path: pathOf(issue), message: messageOf(issue) })
  if (!result.success || faults.length > 0) return { ok: false, fault: 'shape', faults }
  return { ok: true, value: result.output, raw, text }
}

/** Checks depth, syntax, repeated keys and shape of a JSON text, in this order. */
export function readDocument<T>(text: string, format: Format<T>): Reading<T> {
  const parsed = parseJson(text, format.shape, MAX_DEPTH)
  if (!parsed.ok) return parsed
  const { value, raw, repeated } = parsed
  const isPlain = repeated.length === 0 && !hasFraction(raw, format.integers)
  const quick = isPlain ? format.quickRead(value) : UNSURE
  // The quick reading gives the output of the schema.
  return quick === UNSURE ? judge(text, parsed, format) : { ok: true, value: quick as T, raw, text }
}
