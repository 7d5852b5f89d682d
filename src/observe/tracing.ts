import type { Context, Span as SdkSpan } from '@opentelemetry/api'
import type { Config } from '../config/config.ts'
import type { Clock } from '../lib/clock.ts'
import {
  type Attributes,
  formatTraceparent,
  parseTraceparent,
  type RemoteParent,
  type Span,
} from '../lib/trace-context.ts'
import type { Log } from './log.ts'

/** Traces of this app. Contexts are passed by hand: nothing is registered for the whole process. */
export interface Tracing {
  start(name: string, how?: SpanOptions): Span
  /** Sends what has ended, for `leftMs` and MAX_FLUSH_MS at most, and nothing after that. */
  close(leftMs: number): Promise<void>
}

interface SpanOptions {
  /** Internal unless it says otherwise. */
  readonly kind?: 'server' | 'client' | 'consumer'
  /** Without one, or with one that is malformed, it begins a trace. */
  readonly parent?: Span | RemoteParent | undefined
  readonly attributes?: Attributes
}

interface TracingOptions {
  readonly settings: Pick<
    Config,
    'otelEnabled' | 'otelEndpoint' | 'otelServiceName' | 'otelSamplingRatio' | 'nodeId'
  >
  readonly version: string
  readonly clock: Clock
  readonly log: Log
}

const SCOPE = 'ara-notification-service'
/** What may wait to be sent; what ends beyond it is dropped. */
const MAX_WAITING = 2_048
const BATCH = 512
const DELAY_MS = 1_000
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

/** As the settings say; undefined when traces are off: then the SDK is not even loaded. */
export async function openTracing({
  settings,
  version,
  clock,
  log,
}: TracingOptions): Promise<Tracing | undefined> {
  if (!settings.otelEnabled) return undefined
  const [api, sdk, resources, { ProtobufTraceSerializer }, { createExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/otlp-transformer'),
    import('./otlp.ts'),
  ])
  const endpoint = new URL(settings.otelEndpoint).origin
  const exporter = createExporter({
    endpoint,
    serialize: spans => ProtobufTraceSerializer.serializeRequest(spans),
    clock,
    onChange: fault => {
      if (fault === undefined) log.info({ endpoint }, 'traces.exported')
      else log.warn({ endpoint, reason: fault }, 'traces.unavailable')
    },
  })
  const provider = new sdk.TracerProvider({
    resource: resources.defaultResource().merge(
      resources.resourceFromAttributes({
        'service.name': settings.otelServiceName,
        'service.version': version,
        'service.instance.id': settings.nodeId,
      }),
    ),
    sampler: new sdk.ParentBasedSampler({
      root: new sdk.TraceIdRatioBasedSampler(settings.otelSamplingRatio),
    }),
    spanLimits: { linkCountLimit: MAX_LINKS, attributeValueLengthLimit: MAX_ATTRIBUTE_CHARACTERS },
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter,
        maxQueueSize: MAX_WAITING,
        maxExportBatchSize: BATCH,
        scheduledDelayMillis: DELAY_MS,
      }),
    ],
  })
  const tracer = provider.getTracer(SCOPE, version)
  const { ROOT_CONTEXT, SpanKind, createTraceState, trace } = api
  const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER }

  const remote = ({ traceparent, tracestate }: RemoteParent): Context => {
    const place = parseTraceparent(traceparent)
    if (place === undefined) return ROOT_CONTEXT
    return trace.setSpanContext(ROOT_CONTEXT, {
      ...place,
      isRemote: true,
      ...(tracestate && { traceState: createTraceState(tracestate) }),
    })
  }

  const contextOf = (parent: Span | RemoteParent | undefined): Context => {
    if (parent === undefined) return ROOT_CONTEXT
    if (parent instanceof TracedSpan) return trace.setSpan(ROOT_CONTEXT, parent.sdk)
    return remote(parent)
  }

  return {
    start: (name, { kind, parent, attributes } = {}) => {
      // Of a trace that nobody keeps the first span stands for all.
      if (parent instanceof TracedSpan && !parent.isKept) return parent
      const as = kind === undefined ? SpanKind.INTERNAL : kinds[kind]
      const span = new TracedSpan(tracer.startSpan(name, { kind: as }, contextOf(parent)))
      if (attributes !== undefined) span.set(attributes)
      return span
    },
    close: async leftMs => {
      const sent = provider.shutdown().catch(() => {})
      await Promise.race([sent, Bun.sleep(Math.max(0, Math.min(leftMs, MAX_FLUSH_MS)))])
      exporter.destroy()
    },
  }
}
