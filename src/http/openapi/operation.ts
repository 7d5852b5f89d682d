import type { HttpErrorCode } from '../../errors.ts'
import type { SchemaName } from './schemas.ts'

export const TAGS = {
  Sending: 'Notifications to users, to channels and to all connected clients.',
  Templates: 'Stored messages with variables.',
  'Looking up': 'Delivery status, presence, channels and tenants.',
  Clients:
    'Requests of clients with their token. The AsyncAPI document `docs/asyncapi.yaml` specifies the messages on `/ws` and `/sse`.',
  Operating: 'Health, statistics and documents.',
} as const

/** A path segment, query parameter or header. */
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly schema: Readonly<Record<string, unknown>>
  readonly example?: string | number
}

/** An example request and its answer. */
export interface Example {
  readonly summary: string
  readonly body?: unknown
  /** JSON, or text if the answer is not JSON. */
  readonly answer?: unknown
}

/** Description of a route, beyond its `detail`. `errors` omits those of keys, parameters and body. */
export interface Operation {
  readonly id: string
  readonly tag: keyof typeof TAGS
  readonly description?: string
  readonly parameters?: readonly Parameter[]
  readonly body?: {
    readonly schema: SchemaName
    readonly maxBytes: number
    readonly optional?: true
  }
  /** True if the route accepts an idempotency key. */
  readonly isKeyed?: true
  readonly answer: {
    readonly status: number
    readonly description: string
    /** Schema of a JSON answer. */
    readonly schema?: SchemaName
    /** Media type of an answer without schema. */
    readonly mediaType?: string
    /** Further answers that are no errors: status and meaning. */
    readonly otherwise?: Readonly<Record<number, string>>
  }
  readonly errors?: readonly HttpErrorCode[]
  readonly examples: Readonly<Record<string, Example>>
}

/** Operations by method and path of the route: `GET /api/v1/channels/:name`. */
export type Operations = Readonly<Record<string, Operation>>

/** The query parameter `limit`. */
export const limitOf = (most: number, otherwise?: number): Parameter => ({
  name: 'limit',
  in: 'query',
  description: otherwise === undefined ? 'Maximum number of items; all if absent' : 'Maximum number of items',
  schema: {
    type: 'integer',
    minimum: 1,
    maximum: most,
    ...(otherwise !== undefined && { default: otherwise }),
  },
  example: 100,
})

/** A variable path segment. */
export const segmentOf = (
  name: string,
  description: string,
  example: string,
  rule: object = {},
): Parameter => ({
  name,
  in: 'path',
  description,
  schema: { type: 'string', ...rule },
  example,
})

/** The segment `user_id`. */
export const userSegment = segmentOf(
  'user_id',
  'Id of a user; an invalid id is answered like an unknown one',
  'u-7',
)
