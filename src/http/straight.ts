import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { AnswerHead } from './answer/answer-head.ts'
import type { Cors } from './request/cors.ts'

interface RouteInfo {
  readonly method: string
  readonly path: string
  readonly handler: unknown
  readonly hooks: { readonly detail?: unknown }
}

interface StraightContext {
  readonly request: Request
  /** The runtime's server. */
  readonly server: unknown
  readonly set: AnswerHead
  /** Headers that every answer has besides those of `set`. */
  readonly common: Headers
}

/**
 * The handler of a straight route: it reads the body itself. It gives the JSON text of a 200, or a response without the
 * headers of `set`, or nothing after an upgrade. It may throw or reject.
 */
type StraightHandler = (context: StraightContext) => Awaitable<string | Response | undefined>

interface StraightOptions {
  /** Hooks of all routes, as Elysia calls them: before the handler, after it, and in place of its answer. */
  readonly admit: (request: Request, set: AnswerHead) => void
  readonly complete: (set: AnswerHead) => void
  readonly refuse: (error: unknown, request: Request, set: AnswerHead) => object
  readonly cors: Pick<Cors, 'headers' | 'dependsOnOrigin'>
  readonly server: () => unknown
}

/** Called with each answer; gives the one to send. */
type Finish = (response: Response) => Awaitable<Response>

/** Calls the handlers of the commonest routes without Elysia. */
interface Straight {
  /** Answers a request to a straight route and passes the answer on; undefined for any other request. */
  answer(pattern: string | undefined, request: Request, finish: Finish): Awaitable<Response> | undefined
  /** Registers the routes with `x-straight`. */
  learn(routes: readonly RouteInfo[]): void
}

interface StraightRoute {
  readonly method: string
  readonly handler: StraightHandler
}

const REQUEST_ID = 'x-request-id'

/** The runtime has sent the 101 of an upgrade itself; only the status counts. */
const UPGRADED = new Response(null, { status: 101 })

const isStraight = ({ hooks: { detail } }: RouteInfo): boolean =>
  (detail as { 'x-straight'?: boolean } | undefined)?.['x-straight'] === true

function addTo(response: Response, headers: AnswerHead['headers']): Response {
  for (const name in headers) response.headers.set(name, String(headers[name]))
  return response
}

/**
 * Elysia makes a context and two more promises for each request, and headers from a plain object. A send costs a tenth
 * less without them, a connect a twentieth. Hooks, handlers and answers are those that Elysia would use.
 */
export function createStraight({ admit, complete, refuse, cors, server }: StraightOptions): Straight {
  const straight = new Map<string, StraightRoute>()
  // The runtime copies a Headers faster than a plain object.
  const common = new Headers(cors.headers)
  const ofJson = new Headers({ ...cors.headers, 'content-type': 'application/json;charset=utf-8' })

  const respond = (text: string, { status = 200, headers: own }: AnswerHead): Response => {
    // Every answer replaces the id of the one before: a response that needs no header of its own costs 0.3 µs less.
    ofJson.set(REQUEST_ID, String(own[REQUEST_ID]))
    const response = new Response(text, { status: Number(status), headers: ofJson })
    for (const name in own) if (name !== REQUEST_ID) response.headers.set(name, String(own[name]))
    return response
  }

  const respondWith = (answer: string | Response | undefined, set: AnswerHead): Response => {
    if (answer === undefined) return UPGRADED
    if (typeof answer === 'string') return respond(answer, set)
    return addTo(addTo(answer, cors.headers), set.headers)
  }

  return {
    answer: (pattern, request, finish) => {
      const route = pattern === undefined ? undefined : straight.get(pattern)
      if (route === undefined || request.method !== route.method || cors.dependsOnOrigin(request))
        return undefined
      const set: AnswerHead = { headers: {} }
      const failed = (error: unknown): Awaitable<Response> =>
        finish(respond(JSON.stringify(refuse(error, request, set)), set))
      const succeeded = (answer: string | Response | undefined): Awaitable<Response> => {
        complete(set)
        return finish(respondWith(answer, set))
      }
      let answer: ReturnType<StraightHandler>
      try {
        admit(request, set)
        answer = route.handler({ request, server: server(), set, common })
      } catch (error) {
        return failed(error)
      }
      return answer instanceof Promise ? answer.then(succeeded, failed) : succeeded(answer)
    },
    learn: routes => {
      for (const route of routes)
        if (isStraight(route))
          straight.set(route.path, { method: route.method, handler: route.handler as StraightHandler })
    },
  }
}
