import type { HttpErrorCode } from '../../errors.ts'
import type { SchemaName } from './schemas.ts'

export const TAGS = {
  Sending: 'Notifications to users, to channels and to all who are connected.',
  Templates: 'Messages with places for variables, kept by the service.',
  'Looking up': 'What has become of notifications, who is connected, and to what.',
  Clients:
    'What clients do with their token. What goes over `/ws` and `/sse` is told by the AsyncAPI document `docs/asyncapi.yaml`.',
  Operating: 'Health, statistics and documents.',
} as const

/** A part of the path, of the query, or a header. */
export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly schema: Readonly<Record<string, unknown>>
  readonly example?: string | number
}

/** A request and what it is answered, under one name. */
export interface Example {
  readonly summary: string
  readonly body?: unknown
  /** JSON, or the text where the answer is none. */
  readonly answer?: unknown
}

/** What a route's `detail` does not say of it. Errors that follow from its keys, parameters and body are not named again. */
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
  /** It may be given an idempotency key. */
  readonly isKeyed?: true
  readonly answer: {
    readonly status: number
    readonly description: string
    /** Of JSON. */
    readonly schema?: SchemaName
    /** Of what has no schema. */
    readonly mediaType?: string
    /** Another answer that is no refusal, and what it means. */
    readonly otherwise?: Readonly<Record<number, string>>
  }
  readonly errors?: readonly HttpErrorCode[]
  readonly examples: Readonly<Record<string, Example>>
}

/** By method and path, as routes have them: `GET /api/v1/channels/:name`. */
export type Operations = Readonly<Record<string, Operation>>

/** How many of a list are answered. */
export const limitOf = (most: number, otherwise?: number): Parameter => ({
  name: 'limit',
  in: 'query',
  description: otherwise === undefined ? 'At most so many; otherwise all' : 'At most so many',
  schema: {
    type: 'integer',
    minimum: 1,
    maximum: most,
    ...(otherwise !== undefined && { default: otherwise }),
  },
  example: 100,
})

/** A variable segment. */
export const segmentOf = (
  name: string,
  description: string,
  example: string,
  says: object = {},
): Parameter => ({
  name,
  in: 'path',
  description,
  schema: { type: 'string', ...says },
  example,
})

export const userSegment = segmentOf(
  'user_id',
  'A user; an id that no user can have is answered like an unknown one',
  'u-7',
)
