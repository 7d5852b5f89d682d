import { type Span, traceOf } from '../lib/trace-context.ts'

/** Fields of every log line about a request. */
export interface RequestIds {
  readonly request_id?: string
  /** Present if the request is traced. */
  readonly trace_id?: string
}

/** Reads the ids of a request from the `headers` of its answer, in lower case. */
export const idsOf = (headers: Readonly<Record<string, unknown>>, span: Span | undefined): RequestIds => ({
  request_id: String(headers['x-request-id']),
  ...traceOf(span),
})
