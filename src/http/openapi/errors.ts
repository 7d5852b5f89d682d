import { ERRORS, type HttpErrorCode } from '../../errors.ts'
import { envelopeOf } from './answers.ts'
import type { Operation } from './operation.ts'
import { type Dialect, jsonSchemasOf } from './schema.ts'

/** Authentication that a route requires. */
export interface Needs {
  readonly apiKey: boolean
  readonly token: boolean
}

type Refusal = readonly [status: number, code: HttpErrorCode]

const refusal = (code: HttpErrorCode): Refusal => [ERRORS[code].status, code]
/** The answer to a well-formed value with an invalid meaning. */
const MEANING: Refusal = [400, 'VALIDATION_ERROR']

/** Errors of a route by status: those of its inputs and those its operation names. */
export function refusalsOf(
  operation: Operation,
  { apiKey, token }: Needs,
): ReadonlyMap<number, readonly HttpErrorCode[]> {
  const { body, isKeyed = false, parameters = [], errors = [] } = operation
  const isVaried = parameters.some(parameter => parameter.in !== 'header')
  const all: readonly Refusal[] = [
    ...(body
      ? (['INVALID_JSON', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'VALIDATION_ERROR'] as const)
      : []
    ).map(refusal),
    ...(isKeyed ? (['IDEMPOTENCY_IN_PROGRESS', 'IDEMPOTENCY_KEY_REUSED'] as const) : []).map(refusal),
    ...(isVaried || apiKey || token ? [MEANING] : []),
    ...(apiKey ? [refusal('FORBIDDEN')] : []),
    ...(apiKey || token ? [refusal('UNAUTHORIZED'), refusal('RATE_LIMITED')] : []),
    ...errors.map(refusal),
    refusal('INTERNAL_ERROR'),
  ]
  const byStatus = Map.groupBy(all, ([status]) => status)
  return new Map(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, some]) => [status, [...new Set(some.map(([, code]) => code))].sort()]),
  )
}

/** Additional headers of an error. */
const HEADERS: { readonly [C in HttpErrorCode]?: readonly string[] } = {
  UNAUTHORIZED: ['WWW-Authenticate'],
  RATE_LIMITED: ['Retry-After'],
  CONNECTION_LIMIT: ['Retry-After'],
  IDEMPOTENCY_IN_PROGRESS: ['Retry-After'],
  STORE_UNAVAILABLE: ['Retry-After'],
  SHUTTING_DOWN: ['Retry-After'],
  UPGRADE_REQUIRED: ['Upgrade'],
}

const exampleOf = (code: HttpErrorCode) => ({
  error: {
    code,
    message: ERRORS[code].help,
    ...(code === 'VALIDATION_ERROR' && {
      details: [{ path: 'ttl', message: 'expected a whole number of seconds (got a string)' }],
    }),
  },
  ...(code === 'NOT_READY' && { status: 'not_ready', reasons: ['draining'] }),
})

/** Name of the answer with these codes in the document. */
export const nameOf = (status: number, codes: readonly HttpErrorCode[]): string =>
  `${status}.${codes.join('.')}`

/** The answer with one of these codes; `headersOf` gives references to headers. */
export function refusedWith(
  codes: readonly HttpErrorCode[],
  dialect: Dialect,
  headersOf: (names: readonly string[]) => object,
) {
  const { envelope } = jsonSchemasOf({ envelope: envelopeOf(codes) }, dialect)
  return {
    description: codes.map(code => `\`${code}\`: ${ERRORS[code].help}`).join('; '),
    headers: headersOf(codes.flatMap(code => HEADERS[code] ?? [])),
    content: {
      'application/json': {
        schema: envelope,
        examples: Object.fromEntries(codes.map(code => [code, { value: exampleOf(code) }])),
      },
    },
  }
}
