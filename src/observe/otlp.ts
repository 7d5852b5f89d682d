import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { Clock } from '../lib/clock.ts'

type Spans = Parameters<SpanExporter['export']>[0]

/** Sends spans to a collector, a batch at a time; what cannot be sent is dropped. */
interface Exporter extends SpanExporter {
  /** Cuts the connection; what is under way has failed. */
  destroy(): void
}

interface ExporterOptions {
  /** Origin: plaintext by `http:`, TLS by `https:`. */
  readonly endpoint: string
  /** `ExportTraceServiceRequest` in Protocol Buffers. */
  readonly serialize: (spans: Spans) => Uint8Array | undefined
  readonly clock: Pick<Clock, 'monotonic'>
  /** For one batch, milliseconds. */
  readonly deadlineMs?: number
  /** Once each time the collector goes, with why, and comes back, with undefined. */
  readonly onChange: (fault: string | undefined) => void
}

const PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const DEADLINE_MS = 5_000
/** After a failure nobody is asked for so long: batches are not even serialised. */
const PAUSE_MS = 5_000
const SUCCESS = { code: 0 }
const FAILURE = { code: 1 }

/** One message behind its length (gRPC over HTTP/2, Length-Prefixed-Message), not compressed. */
function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** A word for a log line: never what a collector wrote. */
const faultOf = (error: unknown): string => {
  if (!(error instanceof Error)) return 'unknown'
  return error.cause instanceof Error
    ? faultOf(error.cause)
    : 'code' in error
      ? String(error.code)
      : error.message
}

/** Resolves when the collector has taken the message. */
function call(session: ClientHttp2Session, message: Uint8Array, deadlineMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const stream: ClientHttp2Stream = session.request({
    ':method': 'POST',
    ':path': PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-timeout': `${deadlineMs}m`,
  })
  let status: string | undefined
  // A call that fails at once says so in its only headers.
  const note = (headers: object): void => {
    if (':status' in headers && headers[':status'] !== 200) status = `HTTP ${headers[':status']}`
    else if ('grpc-status' in headers) status = String(headers['grpc-status'])
  }
  const timer = setTimeout(() => reject(new Error('no answer')), deadlineMs)
  stream.on('response', note)
  stream.on('trailers', note)
  stream.on('error', reject)
  stream.on('close', () => {
    if (status === '0') resolve()
    else reject(new Error(status === undefined ? 'no answer' : `status ${status}`))
  })
  stream.resume()
  stream.end(framed(message))
  return promise.finally(() => clearTimeout(timer))
}

/** OTLP over gRPC: unary calls of one method, on one connection that is opened when it is needed. */
export function createExporter({
  endpoint,
  serialize,
  clock,
  deadlineMs = DEADLINE_MS,
  onChange,
}: ExporterOptions): Exporter {
  const underWay = new Set<Promise<void>>()
  let session: ClientHttp2Session | undefined
  let isUp = true
  let pausedUntil = Number.NEGATIVE_INFINITY

  const drop = (gone: ClientHttp2Session | undefined): void => {
    if (session === gone) session = undefined
    gone?.destroy()
  }

  const connected = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = connect(endpoint)
    // Told by the calls on it.
    opened.on('error', () => {})
    opened.on('goaway', () => {
      if (session === opened) session = undefined
    })
    opened.unref()
    session = opened
    return opened
  }

  const change = (fault: string | undefined): void => {
    const wasUp = isUp
    isUp = fault === undefined
    if (isUp !== wasUp) onChange(fault)
  }

  const send = async (message: Uint8Array): Promise<void> => {
    const used = connected()
    try {
      await call(used, message, deadlineMs)
      change(undefined)
    } catch (error) {
      drop(used)
      pausedUntil = clock.monotonic() + PAUSE_MS
      change(faultOf(error))
      throw error
    }
  }

  return {
    export: (spans, done) => {
      const message = clock.monotonic() < pausedUntil ? undefined : serialize(spans)
      if (message === undefined) return done(FAILURE)
      const sent = send(message).then(
        () => done(SUCCESS),
        () => done(FAILURE),
      )
      underWay.add(sent)
      void sent.finally(() => underWay.delete(sent))
    },
    shutdown: async () => {
      await Promise.all(underWay)
      drop(session)
    },
    destroy: () => drop(session),
  }
}
