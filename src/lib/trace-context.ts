/** Parent of work from another service: the unchanged headers of W3C Trace Context. */
export interface RemoteParent {
  readonly traceparent: string | null | undefined
  readonly tracestate?: string | null | undefined
}

/** Attributes that docs/OPERATIONS.md lists. Values never hold a payload, token, key or query. */
export type Attributes = Readonly<Record<string, string | number | boolean>>

/** One piece of work in a trace. It is exported when it ends, and never before. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** True if the trace is exported; otherwise its data is dropped at once. */
  readonly isKept: boolean
  /** Place in the trace as text, for later work. */
  readonly traceparent: string
  set(attributes: Attributes): void
  /** Links to the span at that place; ignores a place that is missing or not exported. */
  link(traceparent: string | undefined): void
  /** Marks the work as failed. */
  fail(): void
  end(): void
}

/** Makes the field of a log line. */
export const traceOf = (span: Span | undefined) => span && { trace_id: span.traceId }

interface Place {
  readonly traceId: string
  readonly spanId: string
  /** Flag of a trace that is kept (bit 0). */
  readonly traceFlags: number
}

const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** Parses `traceparent` of W3C Trace Context (§3.2); undefined if malformed, and then ignored. */
export function parseTraceparent(text: string | null | undefined): Place | undefined {
  const [match, version, traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(text ?? '') ?? []
  // Later versions may append fields; version 00 has none.
  if (match === undefined || (version === '00' && rest !== undefined)) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) }
}

export const formatTraceparent = ({ traceId, spanId, traceFlags }: Place): string =>
  `00-${traceId}-${spanId}-${traceFlags % 2 === 1 ? '01' : '00'}`
