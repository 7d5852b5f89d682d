import * as v from 'valibot'
import { AppError, type Detail } from '../errors.ts'
import { decodeUtf8, parseJson, type Shape } from '../lib/json.ts'

const MAX_DEPTH = 64

/** A value that is kept as the caller's JSON text: `raw` of the body holds it under its path. */
export const anyJson = v.unknown()

/** A JSON integer: `5.0`, `5e0` and `"5"` are none, which only the text can tell. */
export const integer = (min: number, max: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max), v.metadata({ integer: true }))

type Schema = v.GenericSchema & {
  readonly entries?: Record<string, Schema>
  readonly item?: Schema
  readonly wrapped?: Schema
  readonly options?: readonly Schema[]
  readonly pipe?: readonly Schema[]
}

export interface Body<T> {
  readonly value: T
  /** The text of each value kept raw, by path: `payload`, `notifications[3].payload`. */
  readonly raw: ReadonlyMap<string, string>
}

/** How one kind of body is read. */
export interface BodyFormat<T> {
  readonly schema: v.GenericSchema<unknown, T>
  readonly shape: Shape
  /** Keys whose values are integers. */
  readonly integers: ReadonlySet<string>
  readonly maxBytes: number
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

export const bodyFormat = <T>(schema: v.GenericSchema<unknown, T>, maxBytes: number): BodyFormat<T> => ({
  schema,
  shape: shapeOf(schema as Schema),
  integers: new Set(integersOf(schema as Schema)),
  maxBytes,
})

const tooLarge = (maxBytes: number) =>
  new AppError('PAYLOAD_TOO_LARGE', {
    message: `The body is over ${maxBytes} bytes.`,
    headers: { connection: 'close' },
  })

const invalidJson = (message: string) => new AppError('INVALID_JSON', { message })

/** `application/json` or `application/*+json`, in UTF-8, not encoded. */
function checkMediaType({ headers }: Request): void {
  const [type = '', ...parameters] = (headers.get('content-type') ?? '')
    .toLowerCase()
    .split(';')
    .map(part => part.trim())
  const charset = parameters
    .find(parameter => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  const isJson = type === 'application/json' || /^application\/[^/\s]+\+json$/.test(type)
  const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (!isJson || (charset ?? 'utf-8').replace('utf8', 'utf-8') !== 'utf-8' || encoding !== 'identity')
    throw new AppError('UNSUPPORTED_MEDIA_TYPE')
}

/** Counts while it reads: a body that says nothing of its length is refused as soon as it is over. */
async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const length = request.headers.get('content-length')
  if (length !== null && Number(length) > maxBytes) throw tooLarge(maxBytes)
  if (length !== null) return new Uint8Array(await request.arrayBuffer())
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength
    if (size > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The caller has left in the middle of the body: no fault of ours, and nobody reads the answer. */
const brokenOff = (error: unknown): never => {
  throw error instanceof Error && error.name === 'AbortError' ? invalidJson('The body broke off.') : error
}

function pathOf({ path }: v.BaseIssue<unknown>): string {
  return (path ?? [])
    .map(({ key }, n) => (typeof key === 'number' ? `[${key}]` : `${n === 0 ? '' : '.'}${String(key)}`))
    .join('')
}

/** What was expected, in words; what was sent is never repeated. */
function messageOf(issue: v.BaseIssue<unknown>): string {
  if (issue.kind === 'schema' && issue.input === undefined) return 'required'
  if (issue.kind === 'schema') return `expected ${issue.expected ?? 'another value'}`
  return issue.expected === null ? issue.message : `expected ${issue.expected}`
}

const lastKey = (path: string): string => path.slice(path.lastIndexOf('.') + 1)

/** Numbers that only their text shows to be no integers. */
const integerFaults = (raw: ReadonlyMap<string, string>, integers: ReadonlySet<string>): Detail[] =>
  [...raw]
    .filter(
      ([path, text]) => integers.has(lastKey(path)) && NUMBER_START.test(text) && !INTEGER_TEXT.test(text),
    )
    .map(([path]) => ({ path, message: 'expected an integer' }))

/** The body of a request, or the refusal of contract §1: 413, 415, 400 for what is not JSON, 422 for another shape. */
export async function readBody<T>(
  request: Request,
  { schema, shape, integers, maxBytes }: BodyFormat<T>,
): Promise<Body<T>> {
  const bytes = await readBytes(request, maxBytes).catch(brokenOff)
  checkMediaType(request)
  const text = decodeUtf8(bytes)
  if (text === undefined) throw invalidJson('The body is not UTF-8, or begins with a byte order mark.')
  const parsed = parseJson(text, shape, MAX_DEPTH)
  if (!parsed.ok)
    throw invalidJson(
      parsed.fault === 'depth'
        ? `The body is nested deeper than ${MAX_DEPTH} levels.`
        : 'The body is not JSON.',
    )
  const { value, raw, repeated } = parsed
  const result = v.safeParse(schema, value)
  const faults = result.issues?.map(issue => ({ path: pathOf(issue), message: messageOf(issue) }))
  const details = [
    ...repeated.map(path => ({ path, message: 'given twice' })),
    ...(faults ?? integerFaults(raw, integers)),
  ]
  if (!result.success || details.length > 0) throw new AppError('VALIDATION_ERROR', { details })
  return { value: result.output, raw }
}
