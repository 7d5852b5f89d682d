import * as v from 'valibot'
import { boundedList, MAX_FAULTS } from '../collections/bounded-list.ts'
import { messageOf, pathOf } from './issue.ts'
import { parseJson, type Shape } from './scan.ts'

/** What documents tell of a schema beside what follows from it, in words of JSON Schema. */
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

/** The same schema, of which documents tell more; of one with a pipe they tell what its rules say instead. */
export const documented = <S extends v.GenericSchema>(schema: S, says: Says): S =>
  Object.assign(schema, { says })

/** A check, and what of it JSON Schema can say: never more than what holds. */
export const rule = <T>(holds: (value: T) => boolean, message: string, says: Says) =>
  Object.assign(v.check(holds, message), { says })

/** What `documented` and `rule` have noted. */
export const saysOf = (noted: object): Says => ('says' in noted ? (noted.says as Says) : {})

/** A value that is kept as the writer's JSON text: `raw` of the document holds it under its path. */
export const anyJson = documented(v.unknown(), { description: 'any JSON, `null` too' })

/** A JSON integer: `5.0`, `5e0` and `"5"` are none, which only the text can tell. `what` names it in faults. */
export const integer = (min: number, max: number, what = 'a whole number') =>
  v.pipe(
    v.number(what),
    v.integer(what),
    v.minValue(min, `${what} from ${min} to ${max}`),
    v.maxValue(max, `${what} from ${min} to ${max}`),
    v.metadata({ integer: true }),
  )

/** A list of a bounded length. One that is longer is well-formed: its length is checked by whoever takes it. */
export const listOf = <S extends v.GenericSchema>(
  item: S,
  maxItems: number,
  { readsLong = true, ...says }: Says & { readonly readsLong?: boolean } = {},
) => documented(boundedList(item, maxItems, readsLong), { maxItems, ...says })

/** One of two shapes: the second where `isSecond` holds of the value, else the first. Neither is tried in vain. */
export const either = <A extends v.GenericSchema, B extends v.GenericSchema>(
  isSecond: (value: unknown) => boolean,
  first: A,
  second: B,
): v.GenericSchema<unknown, v.InferOutput<A> | v.InferOutput<B>> =>
  Object.assign(
    v.lazy<A | B>(value => (isSecond(value) ? second : first)),
    { options: [first, second] },
  )

/** The shapes that `either` chooses from; none of another schema. */
export const alternativesOf = (schema: v.GenericSchema): readonly v.GenericSchema[] =>
  (schema as Schema).type === 'lazy' ? ((schema as Schema).options ?? []) : []

/** How one kind of document is read. */
export interface Format<T> {
  readonly schema: v.GenericSchema<unknown, T>
  readonly shape: Shape
  readonly nesting: Nesting
  /** Keys whose values are integers. */
  readonly integers: ReadonlySet<string>
}

/** What a shape says of objects inside it, and no more. */
interface Nesting {
  readonly isObject: boolean
  readonly inside: readonly { readonly key: string; readonly nesting: Nesting }[]
  readonly items: Nesting | undefined
  /** A longer list is not looked into. */
  readonly most: number
}

/** Where something is wrong, and what was expected; never what was written. */
export interface Fault {
  readonly path: string
  readonly message: string
}

export interface Document<T> {
  readonly value: T
  /** The text of each value kept raw, by path: `payload`, `notifications[3].payload`. */
  readonly raw: ReadonlyMap<string, string>
  /** All of it, as it was written. */
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

/** What the scan must look for follows from the schema: its keys, and the values whose text matters. */
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
  return { schema, shape, nesting: nestingOf(shape), integers: new Set(integersOf(schema as Schema)) }
}

const lastKey = (path: string): string => path.slice(path.lastIndexOf('.') + 1)

const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39

/** By its first character, since most raw texts are long and no numbers. */
function isNumber(text: string): boolean {
  const code = text.charCodeAt(0)
  return code === MINUS || (code >= ZERO && code <= NINE)
}

/** Numbers that only their text shows to be no integers. */
function findFractions(
  raw: ReadonlyMap<string, string>,
  integers: ReadonlySet<string>,
  faults: Fault[],
): void {
  for (const [path, text] of raw)
    if (
      faults.length < MAX_FAULTS &&
      isNumber(text) &&
      integers.has(lastKey(path)) &&
      !INTEGER_TEXT.test(text)
    )
      faults.push({ path, message: 'expected a whole number, without fraction or exponent' })
}

/** Lists where objects belong: a schema takes them for objects without their keys. */
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

/** Depth, syntax, repeated keys and shape of a JSON text, in this order. */
export function readDocument<T>(text: string, { schema, shape, nesting, integers }: Format<T>): Reading<T> {
  const parsed = parseJson(text, shape, MAX_DEPTH)
  if (!parsed.ok) return parsed
  const { value, raw, repeated } = parsed
  const result = v.safeParse(schema, value)
  const faults: Fault[] = repeated.slice(0, MAX_FAULTS).map(path => ({ path, message: 'given twice' }))
  findLists(value, nesting, '', faults)
  if (result.success) findFractions(raw, integers, faults)
  else for (const issue of result.issues) faults.push({ path: pathOf(issue), message: messageOf(issue) })
  if (!result.success || faults.length > 0) return { ok: false, fault: 'shape', faults }
  return { ok: true, value: result.output, raw, text }
}
