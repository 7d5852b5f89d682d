/** Where work belongs that came from elsewhere: the texts of W3C Trace Context, as they came. */
export interface RemoteParent {
  readonly traceparent: string | null | undefined
  readonly tracestate?: string | null | undefined
}

/** Names are those of docs/OPERATIONS.md; a value is never what a caller keeps from others: no payload, token, key or query. */
export type Attributes = Readonly<Record<string, string | number | boolean>>

/** One piece of work, as a trace tells of it. Sent when it has ended; one that never ends is never sent. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** Whether the trace is sent; else all that is told of it is forgotten at once. */
  readonly isKept: boolean
  /** Its place in the trace as text, for work that comes later. */
  readonly traceparent: string
  set(attributes: Attributes): void
  /** It continues what stands at that place; a place in a trace that nobody keeps, or none, counts for nothing. */
  link(traceparent: string | undefined): void
  /** It did not do what it was to do. */
  fail(): void
  end(): void
}

/** For a log line. */
export const traceOf = (span: Span | undefined) => span && { trace_id: span.traceId }

interface Place {
  readonly traceId: string
  readonly spanId: string
  /** Bit 0: the trace is kept. */
  readonly traceFlags: number
}

const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** `traceparent` of W3C Trace Context (§3.2); undefined when it is none, and so counts for nothing. */
export function parseTraceparent(text: string | null | undefined): Place | undefined {
  const [match, version, traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(text ?? '') ?? []
  // Later versions may say more behind it; this one says all.
  if (match === undefined || (version === '00' && rest !== undefined)) return undefined
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) }
}

export const formatTraceparent = ({ traceId, spanId, traceFlags }: Place): string =>
  `00-${traceId}-${spanId}-${traceFlags % 2 === 1 ? '01' : '00'}`
