import { Histogram } from './histogram.ts'

/** Counts of the answers to one method on one route. */
interface AnswerCounts {
  readonly method: string
  readonly path: string
  readonly seconds: Histogram
  readonly statuses: Map<number, number>
}

/** Counts all HTTP answers. Bounded: routes are fixed, unknown methods share one name. */
export interface Answers {
  /** Counts an answer; `path` is the route pattern, undefined for an unknown path. */
  count(request: { readonly method: string; readonly path: string | undefined }, answer: Answer): void
  all(): Iterable<AnswerCounts>
}

interface Answer {
  readonly status: number
  readonly seconds: number
}

/** Bounds of the HTTP histogram, seconds. */
export const ANSWER_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** Methods of RFC 9110 §9.3 and RFC 5789. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'])
const UNMATCHED = 'unmatched'
const OTHER = 'OTHER'

/** Names the method; all non-standard methods share one name. */
export const methodName = (method: string): string => (METHODS.has(method) ? method : OTHER)

export function createAnswers(): Answers {
  const routes = new Map<string, Map<string, AnswerCounts>>()

  const make = (path: string, method: string): AnswerCounts => {
    const methods = routes.get(path) ?? new Map<string, AnswerCounts>()
    const answered = { method, path, seconds: new Histogram(ANSWER_BOUNDS), statuses: new Map() }
    routes.set(path, methods.set(method, answered))
    return answered
  }

  return {
    count: ({ method, path = UNMATCHED }, { status, seconds }) => {
      const known = methodName(method)
      const answered = routes.get(path)?.get(known) ?? make(path, known)
      answered.seconds.observe(seconds)
      answered.statuses.set(status, (answered.statuses.get(status) ?? 0) + 1)
    },
    all: () => [...routes.values()].flatMap(methods => [...methods.values()]),
  }
}
