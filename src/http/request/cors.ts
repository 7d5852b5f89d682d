import { cors } from '@elysiajs/cors'
import { type AnyElysia, Elysia } from 'elysia'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS']
const REQUEST_HEADERS = [
  'content-type',
  'authorization',
  'x-api-key',
  'x-tenant-id',
  'idempotency-key',
  'last-event-id',
  'x-request-id',
  'traceparent',
  'tracestate',
]
const EXPOSED = [
  'X-Request-Id',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'Retry-After',
  'Idempotency-Replayed',
]
const MAX_AGE_SECONDS = '600'

/** Headers of an answer by lower-case name. */
type AnswerHeaders = Record<string, string | number>

/** Tells browsers which origins may read the answers. */
export interface Cors {
  /** Adds the headers to the answers of Elysia. */
  readonly plugin: AnyElysia
  /** Headers of every answer that does not depend on an origin. */
  readonly headers: Readonly<Record<string, string>>
  /** Whether the answer to this request depends on its origin. Backends send none. */
  dependsOnOrigin(request: Request): boolean
  /** Answers OPTIONS without authentication and rate limit. */
  preflight(request: Request, headers: AnswerHeaders): Response
}

const answerOf = (headers: AnswerHeaders): Response => {
  headers['access-control-max-age'] = MAX_AGE_SECONDS
  return new Response(null, { status: 200 })
}

function anyOrigin(): Cors {
  const headers = {
    'access-control-allow-origin': '*',
    'access-control-expose-headers': EXPOSED.join(', '),
  }
  return {
    plugin: new Elysia({ name: 'any-origin' }).headers(headers),
    headers,
    dependsOnOrigin: () => false,
    preflight: (request, headers) => {
      const asked = (name: string) => request.headers.get(name) ?? '*'
      headers['access-control-allow-methods'] = asked('access-control-request-method')
      headers['access-control-allow-headers'] = asked('access-control-request-headers')
      return answerOf(headers)
    },
  }
}

const someOrigins = (origins: readonly string[]): Cors => ({
  plugin: cors({
    // A list of names would also match origins that only resemble them.
    origin: ({ headers }) => origins.includes(headers.get('origin') ?? ''),
    methods: METHODS,
    allowedHeaders: REQUEST_HEADERS,
    exposeHeaders: EXPOSED,
    credentials: false,
    preflight: false,
  }),
  headers: {
    'access-control-expose-headers': EXPOSED.join(', '),
    'access-control-allow-headers': REQUEST_HEADERS.join(', '),
    'access-control-allow-methods': METHODS.join(', '),
    // Caches must not give the answer for one origin to another.
    vary: 'Origin',
  },
  dependsOnOrigin: request => request.headers.has('origin'),
  preflight: (_, headers) => answerOf(headers),
})

/** Allows all origins when the list is empty or holds `*`. */
export const createCors = (origins: readonly string[]): Cors =>
  origins.length === 0 || origins.includes('*') ? anyOrigin() : someOrigins(origins)
