import { cors } from '@elysiajs/cors'
import { type AnyElysia, Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { Clock } from '../lib/time/clock.ts'
import { limited } from '../observe/limited.ts'
import type { Logger } from '../observe/log.ts'
import { idsOf } from '../observe/request-ids.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import { withoutFilePaths } from './answer/file-paths.ts'
import { type Guard, pathOf, requestIdOf } from './request/guard.ts'
import { createReadOn } from './request/unread.ts'

interface ApiOptions {
  readonly guard: Guard
  readonly corsOrigins: readonly string[]
  readonly production: boolean
  readonly isDraining: () => boolean
  readonly logger: Logger
  readonly clock: Clock
  readonly stats: Stats
  /** Absent without traces. */
  readonly spans?: RequestSpans | undefined
  readonly routes: readonly AnyElysia[]
}

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
const LINES_PER_SECOND = 2
const MAX_AGE_SECONDS = '600'

/** Status and headers of an answer, which Elysia calls `set`. */
interface AnswerHead {
  status?: number | string
  headers: Record<string, string | number>
}

type Handle = (request: Request) => Response | Promise<Response>

/** Completes the URL of a request without Host (HTTP/1.0): the router needs a whole URL. */
function completeUrl(request: Request): Request {
  if (request.url.startsWith('/'))
    Object.defineProperty(request, 'url', { value: `http://localhost${request.url}` })
  return request
}

/** CORS headers: constant ones for any origin, else those of the plugin. */
const crossOrigin = (corsOrigins: readonly string[], anyOrigin: boolean): AnyElysia =>
  anyOrigin
    ? new Elysia({ name: 'any-origin' }).headers({
        'access-control-allow-origin': '*',
        'access-control-expose-headers': EXPOSED.join(', '),
      })
    : cors({
        // A list of names would also match origins that only resemble them.
        origin: ({ headers }) => corsOrigins.includes(headers.get('origin') ?? ''),
        methods: METHODS,
        allowedHeaders: REQUEST_HEADERS,
        exposeHeaders: EXPOSED,
        credentials: false,
        preflight: false,
      })

/** Finds the AppError. Elysia wraps errors that a hook throws. */
function refusalIn(error: unknown): AppError | undefined {
  if (error instanceof AppError) return error
  return error instanceof Error && error.cause instanceof AppError ? error.cause : undefined
}

/** Puts all routes behind one guard, with CORS, request ids and one error envelope. */
export function createApi({
  guard,
  corsOrigins,
  production,
  isDraining,
  logger,
  clock,
  stats,
  spans,
  routes,
}: ApiOptions) {
  const anyOrigin = corsOrigins.length === 0 || corsOrigins.includes('*')

  /** Answers OPTIONS without authentication and rate limit. */
  const preflight = ({ headers }: Request, set: AnswerHead): Response => {
    const asked = (name: string) => headers.get(name) ?? '*'
    if (anyOrigin) set.headers['access-control-allow-methods'] = asked('access-control-request-method')
    if (anyOrigin) set.headers['access-control-allow-headers'] = asked('access-control-request-headers')
    set.headers['access-control-max-age'] = MAX_AGE_SECONDS
    return new Response(null, { status: 200 })
  }

  const envelope = (refusal: AppError, set: AnswerHead) => {
    const { code, status, message, details, headers, beside } = refusal
    set.status = status
    Object.assign(set.headers, headers)
    return { error: { code, message, ...(details && { details }) }, ...beside }
  }

  const fieldsOf = (err: unknown, request: Request, set: AnswerHead) => ({
    err,
    ...idsOf(set.headers, spans?.of(request)),
    method: request.method,
    path: pathOf(request.url),
  })

  // Limited: an outage of the store refuses every request for users.
  const logRefusal = limited({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'http.refused'),
  })

  const expected = (refusal: AppError, request: Request, set: AnswerHead) => {
    if (refusal.cause !== undefined) logRefusal(fieldsOf(refusal.cause, request, set))
    return envelope(refusal, set)
  }

  const unforeseen = (error: unknown, request: Request, set: AnswerHead) => {
    stats.unhandledErrors++
    logger.error(fieldsOf(error, request, set), 'http.fault')
    const message =
      error instanceof Error && !production
        ? withoutFilePaths(error.message)
        : 'Internal error: the log has the details under this request id.'
    return envelope(new AppError('INTERNAL_ERROR', { message }), set)
  }

  const readOn = createReadOn()

  /** Route pattern of the latest request: hooks run in the turn in which it arrives. */
  let pattern: string | undefined

  /** Counts every answer, including upgrades, whose answer has status 101. */
  const counted =
    (handle: Handle): Handle =>
    request => {
      const startedAt = clock.monotonic()
      const answered = handle(completeUrl(request))
      const place = { method: request.method, path: pattern }
      const count = ({ status }: Response): void => {
        stats.answers.count(place, { status, seconds: (clock.monotonic() - startedAt) / 1000 })
        spans?.end(request, status)
      }
      const finish = (response: Response) => {
        count(response)
        return readOn(request, response)
      }
      if (!(answered instanceof Promise)) return finish(answered)
      return answered.then(finish, error => {
        spans?.end(request, 500)
        throw error
      })
    }

  const app: AnyElysia = new Elysia({
    name: 'api',
    strictPath: true,
    normalize: false,
    handler: { standardHostname: false },
  })
    // Elysia types the wrapped function as something else.
    .wrap(handle => counted(handle as unknown as Handle))
    .use(crossOrigin(corsOrigins, anyOrigin))
    .onRequest(({ request, set }) => {
      set.headers['x-request-id'] = requestIdOf(request)
      if (isDraining()) set.headers['connection'] = 'close'
      const place = guard.find(request)
      pattern = place?.pattern
      spans?.start(request, pattern, pathOf(request.url))
      if (request.method === 'OPTIONS') return preflight(request, set as AnswerHead)
      guard.check(place, request, (set as AnswerHead).headers)
      return undefined
    })
    .onAfterHandle(({ set }) => {
      // The drain may have begun after the request arrived.
      if (isDraining()) set.headers['connection'] = 'close'
    })
    .onError(({ error, request, set }) => {
      const refusal = refusalIn(error)
      return refusal === undefined
        ? unforeseen(error, request, set as AnswerHead)
        : expected(refusal, request, set as AnswerHead)
    })
  for (const group of routes) app.use(group)
  guard.learn(app.routes)
  return app
}
