const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'].join(', ')
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
].join(', ')
const EXPOSED = [
  'X-Request-Id',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'Retry-After',
  'Idempotency-Replayed',
].join(', ')
const MAX_AGE_SECONDS = '600'

/** Headers of an answer by lower-case name. */
type AnswerHeaders = Record<string, string | number>

/** Tells browsers which origins may read the answers. */
interface Cors {
  /** Headers of every answer. */
  readonly headers: Readonly<Record<string, string>>
  /** Adds the headers that depend on the origin of the request. */
  add(request: Request, headers: AnswerHeaders): void
  /** Answers OPTIONS without authentication and rate limit. */
  preflight(request: Request, headers: AnswerHeaders): Response
}

const answerOf = (headers: AnswerHeaders): Response => {
  headers['access-control-max-age'] = MAX_AGE_SECONDS
  return new Response(null, { status: 200 })
}

const anyOrigin: Cors = {
  headers: { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED },
  add: () => {},
  preflight: (request, headers) => {
    const asked = (name: string) => request.headers.get(name) ?? '*'
    headers['access-control-allow-methods'] = asked('access-control-request-method')
    headers['access-control-allow-headers'] = asked('access-control-request-headers')
    return answerOf(headers)
  },
}

const someOrigins = (origins: readonly string[]): Cors => ({
  headers: {
    'access-control-expose-headers': EXPOSED,
    'access-control-allow-headers': REQUEST_HEADERS,
    'access-control-allow-methods': METHODS,
    // Caches must not give the answer for one origin to another.
    vary: 'Origin',
  },
  add: (request, headers) => {
    const origin = request.headers.get('origin')
    // Compares whole origins: `https://example.com.evil.net` begins like an allowed one.
    if (origin !== null && origins.includes(origin)) headers['access-control-allow-origin'] = origin
  },
  preflight: (_, headers) => answerOf(headers),
})

/** Allows all origins when the list is empty or holds `*`. */
export const createCors = (origins: readonly string[]): Cors =>
  origins.length === 0 || origins.includes('*') ? anyOrigin : someOrigins(origins)
