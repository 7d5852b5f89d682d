import { type ConversionConfig, type JsonSchema, toJsonSchemaDefs } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { alternativesOf, saysOf } from '../../lib/json/document.ts'

/** Schemas by the names under which a document refers to them. */
export type NamedSchemas = Readonly<Record<string, v.GenericSchema>>

export interface Dialect {
  readonly target: 'draft-07' | 'draft-2020-12'
  /** Where a document keeps its schemas: `#/components/schemas/`. */
  readonly at: string
}

type Override<K extends keyof ConversionConfig> = NonNullable<ConversionConfig[K]>

const isNull = (schema: JsonSchema | boolean): boolean => typeof schema === 'object' && schema.type === 'null'

/** Without properties that may only be null, which generators of clients do not know: leaving them out says the same. */
function withoutNulls({ properties, ...schema }: JsonSchema): JsonSchema {
  if (properties === undefined) return schema
  const rest = Object.entries(properties).filter(([, value]) => !isNull(value))
  return { ...schema, ...(rest.length > 0 && { properties: Object.fromEntries(rest) }) }
}

/** A value or null, on one level where that will do. */
function orNull(value: JsonSchema): JsonSchema {
  if (value.not !== undefined) return { type: 'null' }
  const { type, const: only, enum: some } = value
  return typeof type === 'string' && only === undefined && some === undefined
    ? { ...value, type: [type, 'null'] }
    : { anyOf: [value, { type: 'null' }] }
}

/** No such thing is left out with a warning: a document that says less than what holds is wrong. */
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
    // What the reading of bodies notes for itself.
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
 * JSON Schemas of what schemas take, each under its name; where one is part of another, the other refers to it. The shapes
 * that `either` chooses from must have names. Throws for what JSON Schema cannot say.
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
      if (name === undefined) throw new Error('one of two shapes has no name')
      return { $ref: at + name }
    })
    if (alternatives.length > 0) return { anyOf: alternatives, ...says }
    const { anyOf: [value] = [], required, default: usual, ...others } = jsonSchema
    // Generated clients compile with simple defaults only.
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
