import type * as v from 'valibot'

/** The schema must judge the value. */
export const UNSURE = Symbol('unsure')

/** Gives the output of a schema for a value that it surely accepts, else UNSURE. */
export type QuickRead = (value: unknown) => unknown

type PipeItem = Pick<v.BaseValidation<unknown, unknown, v.BaseIssue<unknown>>, '~run'> & {
  readonly kind: string
}

type Schema = v.GenericSchema & {
  readonly entries?: Readonly<Record<string, Schema>>
  readonly wrapped?: Schema
  readonly default?: unknown
  readonly options?: readonly unknown[]
  readonly isSecond?: (value: unknown) => boolean
  readonly pipe?: readonly PipeItem[]
}

const isOptional = ({ type, default: otherwise }: Schema): boolean =>
  (type === 'optional' || type === 'nullish') && otherwise === undefined

/** Adds the validations of a pipe to a reader. A pipe that changes values is left to the schema. */
function withPipe(read: QuickRead, { pipe = [] }: Schema): QuickRead {
  const validations = pipe.slice(1).filter(({ kind }) => kind !== 'metadata')
  if (validations.length === 0) return read
  if (validations.some(({ kind }) => kind !== 'validation')) return () => UNSURE
  return given => {
    const value = read(given)
    if (value === UNSURE) return UNSURE
    const dataset: v.OutputDataset<unknown, v.BaseIssue<unknown>> = { typed: true, value }
    for (const validation of validations)
      if (validation['~run'](dataset, {}).issues !== undefined) return UNSURE
    return value
  }
}

/** An object with all required keys. Copies the known ones, as the schema does. */
function object(entries: Readonly<Record<string, Schema>>): QuickRead {
  const keys = Object.entries(entries).map(([key, entry]) => ({
    key,
    mayLack: isOptional(entry),
    read: quickReadOf(entry),
  }))
  return value => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return UNSURE
    const given = value as Readonly<Record<string, unknown>>
    const output: Record<string, unknown> = {}
    for (const { key, mayLack, read } of keys) {
      if (!(key in given)) {
        if (mayLack) continue
        return UNSURE
      }
      const part = read(given[key])
      if (part === UNSURE) return UNSURE
      output[key] = part
    }
    return output
  }
}

function readerOf(schema: Schema): QuickRead {
  const { type, entries, wrapped, options = [], isSecond } = schema
  switch (type) {
    case 'unknown':
      return value => value
    case 'string':
    case 'number':
      return value => (typeof value === type ? value : UNSURE)
    case 'picklist':
      return value => (options.includes(value) ? value : UNSURE)
    case 'optional':
    case 'nullish': {
      if (wrapped === undefined || !isOptional(schema)) break
      const read = quickReadOf(wrapped)
      return type === 'optional' ? read : value => (value === null ? value : read(value))
    }
    case 'object':
      return entries === undefined ? () => UNSURE : object(entries)
    case 'lazy': {
      // The first shape of `either` is the common one.
      const read = quickReadOf(options[0] as Schema)
      if (isSecond !== undefined) return value => (isSecond(value) ? UNSURE : read(value))
    }
  }
  return () => UNSURE
}

/**
 * Derives a reader from a schema. It makes no issues and no object for each value, which costs a third of the schema's own
 * time. It knows the kinds of schemas that most requests need and leaves all others to the schema.
 */
export const quickReadOf = (schema: v.GenericSchema): QuickRead =>
  withPipe(readerOf(schema as Schema), schema as Schema)
