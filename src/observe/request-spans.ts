import type { Span } from '../lib/trace-context.ts'
import { methodName } from './answers.ts'
import type { Tracing } from './tracing.ts'

/** Spans of the requests in progress. */
export interface RequestSpans {
  /** Starts a span. `pattern` is the route's, undefined for an unknown path; `path` has no query. */
  start(request: Request, pattern: string | undefined, path: string): void
  /** Finds the span of a request; undefined if it is not traced. */
  of(request: Request): Span | undefined
  /** Adds the tenant once it is known. */
  belongs(request: Request, tenant: string): void
  end(request: Request, status: number): void
}

/** Routes that are polled every few seconds and therefore not traced. */
const isProbe = (pattern: string | undefined): boolean =>
  pattern !== undefined && (pattern === '/metrics' || pattern.startsWith('/health'))

/** Hides an unknown path, which may contain anything. */
const whereOf = (pattern: string | undefined, path: string) =>
  pattern === undefined ? {} : { 'http.route': pattern, 'url.path': path }

export function createRequestSpans({ start }: Tracing): RequestSpans {
  const spans = new WeakMap<Request, Span>()

  return {
    start: (request, pattern, path) => {
      if (isProbe(pattern)) return
      const { headers } = request
      const method = methodName(request.method)
      const span = start(`HTTP ${method} ${pattern ?? 'unmatched'}`, {
        kind: 'server',
        parent: headers,
        attributes: { 'http.request.method': method, 'url.scheme': 'http', ...whereOf(pattern, path) },
      })
      spans.set(request, span)
    },
    of: request => spans.get(request),
    belongs: (request, tenant) => spans.get(request)?.set({ 'ara.tenant': tenant }),
    end: (request, status) => {
      const span = spans.get(request)
      span?.set({ 'http.response.status_code': status })
      if (status >= 500) span?.fail()
      span?.end()
    },
  }
}
