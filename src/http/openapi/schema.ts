import { type ConversionConfig, type JsonSchema, toJsonSchemaDefs } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { alternativesOf, saysOf } from '../../lib/json/document.ts'

/** Schemas by their names in a document. */
export type NamedSchemas = Readonly<Record<string, v.GenericSchema>>

export interface Dialect {
  readonly target: 'draft-07' | 'draft-2020-12'
  /** Reference prefix of a document's schemas: `#/components/schemas/`. */
  readonly at: string
}

type Override<K extends keyof ConversionConfig> = NonNullable<ConversionConfig[K]>

const isNull = (schema: JsonSchema | boolean): boolean => typeof schema === 'object' && schema.type === 'null'

/** Removes properties that may only be null: client generators do not support them. */
function withoutNulls({ properties, ...schema }: JsonSchema): JsonSchema {
  if (properties === undefined) return schema
  const rest = Object.entries(properties).filter(([, value]) => !isNull(value))
  return { ...schema, ...(rest.length > 0 && { properties: Object.fromEntries(rest) }) }
}

/** A schema for a value or null, without `anyOf` if possible. */
function orNull(value: JsonSchema): JsonSchema {
  if (value.not !== undefined) return { type: 'null' }
  const { type, const: only, enum: some } = value
  return typeof type === 'string' && only === undefined && some === undefined
    ? { ...value, type: [type, 'null'] }
    : { anyOf: [value, { type: 'null' }] }
}

/** Throws instead of warning: a document must not omit a rule that is enforced. */
function refuse(errors: readonly string[] | undefined): void {
  if (errors !== undefined) throw new Error(errors.join(' '))
}

const overrideAction: Override<'overrideAction'> = ({ valibotAction, jsonSchema, errors }) => {
  switch (valibotAction.type) {
    case 'check':
      return {
        ...jsonSchema,
        description: String(Reflect.get(valibotAction, 'message')),
        ...saysOf(valibotAction),
      }
    // `integer` is a note for the JSON reader only.
    case 'metadata': {
      const { integer, ...rest } = jsonSchema as JsonSchema & { readonly integer?: boolean }
      return rest
    }
    case 'min_value':
    case 'max_value': {
      const bounds = Object.entries(jsonSchema).filter(([, value]) => Math.abs(Number(value)) !== Infinity)
      return Object.fromEntries(bounds)
    }
    default:
      refuse(errors)
      return undefined
  }
}

/**
 * JSON Schemas of the inputs that schemas accept, by name. Nested named schemas become references. Both shapes of an
 * `either` must have names. Throws for a rule that JSON Schema cannot express.
 */
export function jsonSchemasOf(
  named: NamedSchemas,
  { target, at }: Dialect,
): Readonly<Record<string, JsonSchema>> {
  const overrideSchema: Override<'overrideSchema'> = context => {
    const { valibotSchema, jsonSchema, errors, referenceMap } = context
    refuse(errors)
    const says = saysOf(valibotSchema)
    const alternatives = alternativesOf(valibotSchema as v.GenericSchema).map(schema => {
      const name = referenceMap.get(schema)
      if (name === undefined) throw new Error('a shape of `either` has no name')
      return { $ref: at + name }
    })
    if (alternatives.length > 0) return { anyOf: alternatives, ...says }
    const { anyOf: [value] = [], required, default: usual, ...others } = jsonSchema
    // Client generators compile simple defaults only.
    const rest =
      typeof usual === 'object' ? others : { ...others, ...(usual !== undefined && { default: usual }) }
    if (valibotSchema.type === 'nullish' || valibotSchema.type === 'nullable')
      return { ...rest, ...(typeof value === 'object' && orNull(value)), ...says }
    return {
      ...(jsonSchema.anyOf && { anyOf: jsonSchema.anyOf }),
      ...withoutNulls(rest),
      ...(required && required.length > 0 && { required }),
      ...says,
    }
  }
  return toJsonSchemaDefs(named, {
    target,
    typeMode: 'input',
    errorMode: 'throw',
    overrideSchema,
    overrideAction,
    overrideRef: ({ referenceId }) => at + referenceId,
  })
}
