import { type AnyElysia, Elysia } from 'elysia'
import { AppError } from '../errors.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { limited } from '../observe/limited.ts'
import type { Logger } from '../observe/log.ts'
import { idsOf } from '../observe/request-ids.ts'
import type { RequestSpans } from '../observe/request-spans.ts'
import type { Stats } from '../observe/stats.ts'
import type { AnswerHead } from './answer/answer-head.ts'
import { withoutFilePaths } from './answer/file-paths.ts'
import { createCors } from './request/cors.ts'
import { type Guard, type Place, pathOf, requestIdOf } from './request/guard.ts'
import { createReadOn } from './request/unread.ts'
import { createStraight } from './straight.ts'

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

const LINES_PER_SECOND = 2

type Handle = (request: Request) => Awaitable<Response>

/** Completes the URL of a request without Host (HTTP/1.0): the router needs a whole URL. */
function completeUrl(request: Request): Request {
  if (request.url.startsWith('/'))
    Object.defineProperty(request, 'url', { value: `http://localhost${request.url}` })
  return request
}

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
  const cors = createCors(corsOrigins)
  const readOn = createReadOn()

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

  const refuse = (error: unknown, request: Request, set: AnswerHead) => {
    const refusal = refusalIn(error)
    return refusal === undefined ? unforeseen(error, request, set) : expected(refusal, request, set)
  }

  /** Route of the latest request: hooks run in the turn in which it arrives. */
  let place: Place | undefined

  /** Checks a request before its handler. Throws the AppError that rejects it. */
  const admit = (request: Request, set: AnswerHead): void => {
    set.headers['x-request-id'] = requestIdOf(request)
    if (isDraining()) set.headers['connection'] = 'close'
    spans?.start(request, place?.pattern, pathOf(request.url))
    if (request.method !== 'OPTIONS') guard.check(place, request, set.headers)
  }

  const complete = ({ headers }: AnswerHead): void => {
    // The drain may have begun after the request arrived.
    if (isDraining()) headers['connection'] = 'close'
  }

  const straight = createStraight({ admit, complete, refuse, cors, server: () => app.server })

  /** Counts every answer, including upgrades, whose answer has status 101. */
  const counted =
    (handle: Handle): Handle =>
    request => {
      const startedAt = clock.monotonic()
      place = guard.find(completeUrl(request))
      const { method } = request
      const route = { method, path: place?.pattern }
      const finish = (response: Response): Awaitable<Response> => {
        const { status } = response
        stats.answers.count(route, { status, seconds: (clock.monotonic() - startedAt) / 1000 })
        spans?.end(request, status)
        return readOn(request, response)
      }
      const straightly = straight.answer(place?.pattern, request, finish)
      if (straightly !== undefined) return straightly
      const answered = handle(request)
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
    .use(cors.plugin)
    .onRequest(({ request, set }) => {
      admit(request, set as AnswerHead)
      return request.method === 'OPTIONS' ? cors.preflight(request, (set as AnswerHead).headers) : undefined
    })
    .onAfterHandle(({ set }) => complete(set as AnswerHead))
    .onError(({ error, request, set }) => refuse(error, request, set as AnswerHead))
  for (const group of routes) app.use(group)
  guard.learn(app.routes)
  straight.learn(app.routes)
  return app
}
