import type { Span } from '../lib/trace-context.ts'
import { methodName } from './answers.ts'
import type { Tracing } from './tracing.ts'

/** The span of each request that is being answered. */
export interface RequestSpans {
  /** `pattern` is that of the route, undefined for a path that is none; `path` is without the query. */
  start(request: Request, pattern: string | undefined, path: string): void
  /** Undefined for requests that are not traced. */
  of(request: Request): Span | undefined
  /** Whose request it has turned out to be. */
  belongs(request: Request, tenant: string): void
  end(request: Request, status: number): void
}

/** Whoever asks for these asks every few seconds, and nobody wants to know. */
const isProbe = (pattern: string | undefined): boolean =>
  pattern !== undefined && (pattern === '/metrics' || pattern.startsWith('/health'))

/** Of a path that is none nothing is told: anything may be written there. */
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
