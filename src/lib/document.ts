import * as v from 'valibot'
import { parseJson, type Shape } from './json.ts'

/** A value that is kept as the writer's JSON text: `raw` of the document holds it under its path. */
export const anyJson = v.unknown()

/** A JSON integer: `5.0`, `5e0` and `"5"` are none, which only the text can tell. */
export const integer = (min: number, max: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max), v.metadata({ integer: true }))

/** How one kind of document is read. */
export interface Format<T> {
  readonly schema: v.GenericSchema<unknown, T>
  readonly shape: Shape
  /** Keys whose values are integers. */
  readonly integers: ReadonlySet<string>
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

const NUMBER_START = /^[-\d]/
const INTEGER_TEXT = /^-?(?:0|[1-9]\d*)$/

const isInteger = (schema: Schema): boolean =>
  schema.wrapped !== undefined
    ? isInteger(schema.wrapped)
    : (v.getMetadata(schema) as { integer?: boolean }).integer === true

/** What the scan must look for follows from the schema: its keys, and the values whose text matters. */
function shapeOf(schema: Schema): Shape {
  if (schema === anyJson || isInteger(schema)) return { raw: true }
  if (schema.wrapped !== undefined) return shapeOf(schema.wrapped)
  if (schema.item !== undefined) return { items: shapeOf(schema.item) }
  const parts = schema.options ?? [schema]
  const entries = parts.flatMap(part => Object.entries(part.entries ?? {}))
  return entries.length === 0 ? {} : { keys: new Map(entries.map(([key, value]) => [key, shapeOf(value)])) }
}

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

export const formatOf = <T>(schema: v.GenericSchema<unknown, T>): Format<T> => ({
  schema,
  shape: shapeOf(schema as Schema),
  integers: new Set(integersOf(schema as Schema)),
})

function pathOf({ path }: v.BaseIssue<unknown>): string {
  return (path ?? [])
    .map(({ key }, n) => (typeof key === 'number' ? `[${key}]` : `${n === 0 ? '' : '.'}${String(key)}`))
    .join('')
}

function messageOf(issue: v.BaseIssue<unknown>): string {
  if (issue.kind === 'schema' && issue.input === undefined) return 'required'
  if (issue.kind === 'schema') return `expected ${issue.expected ?? 'another value'}`
  return issue.expected === null ? issue.message : `expected ${issue.expected}`
}

const lastKey = (path: string): string => path.slice(path.lastIndexOf('.') + 1)

/** Numbers that only their text shows to be no integers. */
function integerFaults(raw: ReadonlyMap<string, string>, integers: ReadonlySet<string>): readonly Fault[] {
  const faults: Fault[] = []
  for (const [path, text] of raw)
    if (integers.has(lastKey(path)) && NUMBER_START.test(text) && !INTEGER_TEXT.test(text))
      faults.push({ path, message: 'expected an integer' })
  return faults
}

/** Lists where objects belong: a schema takes them for objects without their keys. */
function listFaults(value: unknown, { keys, items }: Shape, path: string): readonly Fault[] {
  if (Array.isArray(value)) {
    if (keys !== undefined) return [{ path, message: 'expected Object' }]
    return items === undefined ? [] : value.flatMap((item, n) => listFaults(item, items, `${path}[${n}]`))
  }
  if (keys === undefined || typeof value !== 'object' || value === null) return []
  return [...keys]
    .filter(([key, below]) => (below.keys ?? below.items) !== undefined && Object.hasOwn(value, key))
    .flatMap(([key, below]) =>
      listFaults(Reflect.get(value, key), below, path === '' ? key : `${path}.${key}`),
    )
}

/** Depth, syntax, repeated keys and shape of a JSON text, in this order. */
export function readDocument<T>(text: string, { schema, shape, integers }: Format<T>): Reading<T> {
  const parsed = parseJson(text, shape, MAX_DEPTH)
  if (!parsed.ok) return parsed
  const { value, raw, repeated } = parsed
  const result = v.safeParse(schema, value)
  const found = result.issues?.map(issue => ({ path: pathOf(issue), message: messageOf(issue) }))
  const faults = [
    ...repeated.map(path => ({ path, message: 'given twice' })),
    ...listFaults(value, shape, ''),
    ...(found ?? integerFaults(raw, integers)),
  ]
  if (!result.success || faults.length > 0) return { ok: false, fault: 'shape', faults }
  return { ok: true, value: result.output, raw }
}
