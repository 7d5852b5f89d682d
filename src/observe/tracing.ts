import type { Context, Span as SdkSpan, TextMapGetter } from '@opentelemetry/api'
import type { Config } from '../config/config.ts'
import type { Clock } from '../lib/time/clock.ts'
import {
  type Attributes,
  formatTraceparent,
  parseTraceparent,
  type RemoteParent,
  type Span,
} from '../lib/trace-context.ts'
import type { Logger } from './log.ts'
import { openExporter, protocolOf, watchExporter } from './span-exporter.ts'

/** Traces of this process. Callers pass spans explicitly. */
export interface Tracing {
  start(name: string, how?: SpanOptions): Span
  /** Exports the ended spans within `leftMs` and MAX_FLUSH_MS, then stops. */
  close(leftMs: number): Promise<void>
}

/** Parent of a request (headers, read by OTEL_PROPAGATORS) or of a message (W3C Trace Context). */
type Parent = Span | RemoteParent | Headers

interface SpanOptions {
  /** Kind of the span; internal by default. */
  readonly kind?: 'server' | 'client' | 'consumer' | 'producer'
  /** Parent; without a well-formed one the span begins a trace. */
  readonly parent?: Parent | undefined
  readonly attributes?: Attributes
}

interface TracingOptions {
  readonly settings: Pick<
    Config,
    'otelEnabled' | 'otelEndpoint' | 'otelServiceName' | 'otelSamplingRatio' | 'nodeId'
  >
  readonly version: string
  readonly clock: Clock
  readonly logger: Logger
}

const SCOPE = 'ara-notification-service'
const DEFAULT_SERVICE_NAME = 'ara-notification-service'
/** Defaults of OTEL_BSP_…; spans beyond `waiting` are dropped. */
const BATCHES = { waiting: 2_048, spans: 512, timeoutMs: 30_000, delayMs: 1_000 }
const MAX_FLUSH_MS = 500
const MAX_LINKS = 128
const MAX_ATTRIBUTE_CHARACTERS = 256

/** OpenTelemetry's `SpanStatusCode.ERROR`. */
const ERROR = 2

class TracedSpan implements Span {
  readonly sdk: SdkSpan
  readonly isKept: boolean
  #links = 0

  constructor(sdk: SdkSpan) {
    this.sdk = sdk
    this.isKept = sdk.isRecording()
  }

  get traceId(): string {
    return this.sdk.spanContext().traceId
  }

  get traceparent(): string {
    return formatTraceparent(this.sdk.spanContext())
  }

  set(attributes: Attributes): void {
    if (this.isKept) this.sdk.setAttributes(attributes)
  }

  link(traceparent: string | undefined): void {
    if (!this.isKept || this.#links === MAX_LINKS) return
    const context = parseTraceparent(traceparent)
    if (context === undefined || context.traceFlags % 2 === 0) return
    this.#links++
    this.sdk.addLink({ context })
  }

  fail(): void {
    this.sdk.setStatus({ code: ERROR })
  }

  end(): void {
    this.sdk.end()
  }
}

const CARRIER: TextMapGetter<Headers> = {
  keys: headers => [...headers.keys()],
  get: (headers, name) => headers.get(name) ?? undefined,
}

/** Loads the SDK and starts it; undefined if traces are off. Throws ConfigError for an unknown protocol. */
export async function openTracing({
  settings,
  version,
  clock,
  logger,
}: TracingOptions): Promise<Tracing | undefined> {
  if (!settings.otelEnabled) return undefined
  const [api, core, sdk, resources, { NodeSDK }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/core'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-node'),
  ])
  const { getNumberFromEnv: numberOf, getStringFromEnv: textOf } = core
  const { otelEndpoint, otelServiceName, otelSamplingRatio, nodeId } = settings
  const exporter = watchExporter({
    exporter: await openExporter(protocolOf(textOf), otelEndpoint),
    clock,
    onChange: reason => {
      if (reason === undefined) logger.info({}, 'traces.exported')
      else logger.warn({ reason }, 'traces.unavailable')
    },
  })
  const nodeSdk = new NodeSDK({
    resource: resources.defaultResource().merge(
      resources.resourceFromAttributes({
        'service.name': DEFAULT_SERVICE_NAME,
        'service.version': version,
      }),
    ),
    resourceDetectors: [
      resources.envDetector,
      { detect: () => ({ attributes: { 'service.instance.id': nodeId } }) },
    ],
    ...(otelServiceName !== undefined && { serviceName: otelServiceName }),
    ...(otelSamplingRatio !== undefined && {
      sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(otelSamplingRatio) }),
    }),
    spanLimits: {
      attributeValueLengthLimit:
        numberOf('OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT') ??
        numberOf('OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT') ??
        MAX_ATTRIBUTE_CHARACTERS,
    },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter,
        maxQueueSize: numberOf('OTEL_BSP_MAX_QUEUE_SIZE') ?? BATCHES.waiting,
        maxExportBatchSize: numberOf('OTEL_BSP_MAX_EXPORT_BATCH_SIZE') ?? BATCHES.spans,
        exportTimeoutMillis: numberOf('OTEL_BSP_EXPORT_TIMEOUT') ?? BATCHES.timeoutMs,
        scheduledDelayMillis: numberOf('OTEL_BSP_SCHEDULE_DELAY') ?? BATCHES.delayMs,
      }),
    ],
    // Export traces only: metrics are at /metrics, logs at stdout.
    metricReaders: [],
    logRecordProcessors: [],
  })
  // Disable messages of the SDK: they may contain settings and bypass the log.
  api.diag.disable()
  nodeSdk.start()
  const tracer = api.trace.getTracer(SCOPE, version)
  const { ROOT_CONTEXT, SpanKind, propagation, trace } = api
  const kinds = {
    server: SpanKind.SERVER,
    client: SpanKind.CLIENT,
    consumer: SpanKind.CONSUMER,
    producer: SpanKind.PRODUCER,
  }

  const remote = ({ traceparent, tracestate }: RemoteParent): Context => {
    const place = parseTraceparent(traceparent)
    if (place === undefined) return ROOT_CONTEXT
    return trace.setSpanContext(ROOT_CONTEXT, {
      ...place,
      isRemote: true,
      ...(tracestate && { traceState: api.createTraceState(tracestate) }),
    })
  }

  const contextOf = (parent: Parent | undefined): Context => {
    if (parent === undefined) return ROOT_CONTEXT
    if (parent instanceof TracedSpan) return trace.setSpan(ROOT_CONTEXT, parent.sdk)
    return parent instanceof Headers ? propagation.extract(ROOT_CONTEXT, parent, CARRIER) : remote(parent)
  }

  return {
    start: (name, { kind, parent, attributes } = {}) => {
      // Reuse the first span of a trace that is not kept.
      if (parent instanceof TracedSpan && !parent.isKept) return parent
      const as = kind === undefined ? SpanKind.INTERNAL : kinds[kind]
      const span = new TracedSpan(tracer.startSpan(name, { kind: as }, contextOf(parent)))
      if (attributes !== undefined) span.set(attributes)
      return span
    },
    close: async leftMs => {
      const sent = nodeSdk.shutdown().catch(() => {})
      await Promise.race([sent, Bun.sleep(Math.max(0, Math.min(leftMs, MAX_FLUSH_MS)))])
      for (const part of [trace, propagation, api.context]) part.disable()
    },
  }
}
