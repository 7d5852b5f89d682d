import type { SpanExporter } from '@opentelemetry/sdk-trace'
import { ConfigError } from '../config/config.ts'
import type { Clock } from '../lib/time/clock.ts'
import { allowAddresses } from './grpc-by-address.ts'

const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json'] as const
type Protocol = (typeof PROTOCOLS)[number]

/** Path for traces at an OTLP/HTTP receiver. */
const TRACES_PATH = '/v1/traces'
/** Pause after a failure, milliseconds; batches are dropped unserialised. */
const PAUSE_MS = 5_000
const FAILED = 1

/** Matches error codes of system, TLS and runtime: words that the collector cannot choose. */
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

/** Adapts OTEL_ENDPOINT to an exporter: gRPC has no path, HTTP has its own. */
function urlOf(protocol: Protocol, endpoint: string): string {
  const { origin, pathname, href } = new URL(endpoint)
  if (protocol === 'grpc') return origin
  return pathname === '/' ? origin + TRACES_PATH : href
}

/** Opens the official exporter; without an endpoint the standard variables name the target. */
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

/** Names a fault for the log, never in the collector's own words. */
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
  /** Called with the reason when the collector becomes unavailable, with undefined when it recovers. */
  readonly onChange: (fault: string | undefined) => void
}

/** Wraps an exporter: drops batches for a while after a failure and reports an outage once. */
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
