import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { ConfigError } from '../config/config.ts'
import type { Clock } from '../lib/time/clock.ts'
import { allowAddresses } from './grpc-by-address.ts'

const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json'] as const
type Protocol = (typeof PROTOCOLS)[number]

/** Path of traces at an OTLP/HTTP receiver. */
const TRACES_PATH = '/v1/traces'
/** The collector is left alone for so long after a failure: batches are not even serialised. */
const PAUSE_MS = 5_000
const FAILED = 1

/** Error codes of the system, of TLS and of the runtime: the only words of a fault that are surely not the collector's. */
const CODE = /\b(?:E[A-Z]{4,}|(?:ERR|CERT|SELF_SIGNED|DEPTH_ZERO|UNABLE)_[A-Z_]+)\b/

/** Reads OTEL_EXPORTER_OTLP_TRACES_PROTOCOL or OTEL_EXPORTER_OTLP_PROTOCOL; throws ConfigError for an unknown one. */
export function protocolOf(read: (name: string) => string | undefined): Protocol {
  for (const name of ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']) {
    const text = read(name)?.trim()
    if (!text) continue
    const protocol = PROTOCOLS.find(each => each === text)
    if (protocol === undefined) throw new ConfigError(`${name}: expected one of ${PROTOCOLS.join(', ')}`)
    return protocol
  }
  return 'grpc'
}

/** The address of OTEL_ENDPOINT as an exporter takes it: gRPC has no path, HTTP has one of its own. */
function urlOf(protocol: Protocol, endpoint: string): string {
  const { origin, pathname, href } = new URL(endpoint)
  if (protocol === 'grpc') return origin
  return pathname === '/' ? origin + TRACES_PATH : href
}

/** Opens the official exporter; without an endpoint the standard variables say where it sends to. */
export async function openExporter(protocol: Protocol, endpoint: string | undefined): Promise<SpanExporter> {
  const options = endpoint === undefined ? {} : { url: urlOf(protocol, endpoint) }
  switch (protocol) {
    case 'grpc':
      allowAddresses((await import('@grpc/grpc-js')).credentials)
      return new (await import('@opentelemetry/exporter-trace-otlp-grpc')).OTLPTraceExporter(options)
    case 'http/protobuf':
      return new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter(options)
    case 'http/json':
      return new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter(options)
  }
}

/** A word for a log line: never what a collector wrote. */
function reasonOf(error: Error | undefined): string {
  const text = `${error?.message} ${error?.cause}`
  const [word] = CODE.exec(text) ?? []
  if (word !== undefined) return word
  if (/certificate/i.test(text)) return 'certificate'
  const code = error !== undefined && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? `status ${code}` : 'unknown'
}

interface WatchOptions {
  readonly exporter: SpanExporter
  readonly clock: Pick<Clock, 'monotonic'>
  /** Once each time the collector goes, with why, and comes back, with undefined. */
  readonly onChange: (fault: string | undefined) => void
}

/** The same exporter, which drops batches for a while after a failure, and tells of the collector's absence once. */
export function watchExporter({ exporter, clock, onChange }: WatchOptions): SpanExporter {
  let isUp = true
  let pausedUntil = Number.NEGATIVE_INFINITY

  const change = (fault: string | undefined): void => {
    const wasUp = isUp
    isUp = fault === undefined
    if (isUp !== wasUp) onChange(fault)
  }

  return {
    export: (spans, done) => {
      if (clock.monotonic() < pausedUntil) return done({ code: FAILED })
      exporter.export(spans, result => {
        const hasFailed = result.code === FAILED
        if (hasFailed) pausedUntil = clock.monotonic() + PAUSE_MS
        change(hasFailed ? reasonOf(result.error) : undefined)
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  }
}
