import { ProxyTracerProvider, trace } from '@opentelemetry/api'
import type { Environment } from '../../src/config/config.ts'
import { API_KEY, startTestApp, type TestApp } from './app.ts'
import { type Collector, type Received, startCollector, type Way } from './collector.ts'
import { type Program, startService } from './service.ts'

type TestOptions = Parameters<typeof startTestApp>[1]

/** Settings of a service that exports traces to this collector. */
export const tracedBy = ({ endpoint }: Pick<Collector, 'endpoint'>): Record<string, string> => ({
  OTEL_ENABLED: 'true',
  OTEL_ENDPOINT: endpoint,
})

/** Resolves when the collector has all ended spans. The end of a service waits for it for 500 ms only. */
async function flush(): Promise<void> {
  const provider = trace.getTracerProvider()
  const sdk = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider
  if ('forceFlush' in sdk && typeof sdk.forceFlush === 'function') await sdk.forceFlush()
}

/** Runs a visit and returns all spans; the end of the service flushes those of its end. */
export async function tracesOf(
  visit: (app: TestApp, collector: Collector) => Promise<unknown>,
  env: Environment = {},
  options: TestOptions = {},
): Promise<readonly Received[]> {
  await using collector = await startCollector()
  const app = await startTestApp({ ...tracedBy(collector), ...env }, options)
  try {
    await visit(app, collector)
    await flush()
  } finally {
    await app[Symbol.asyncDispose]()
  }
  return collector.spans.all
}

/** Finds the only span of that name. */
export function only(spans: readonly Received[], name: string): Received {
  const [found, ...others] = spans.filter(span => span.name === name)
  if (found === undefined || others.length > 0)
    throw new Error(`not one ${name} but ${spans.map(span => span.name).join(', ')}`)
  return found
}

/** Names a span as links do. */
export const placeOf = ({ traceId, spanId }: Received): string => `${traceId}:${spanId}`

/** Attributes of a span without those that differ per run. */
export const told = ({ name, kind, attributes, failed }: Received) => ({ name, kind, attributes, failed })

/** Runs a service with exactly these trace settings, sends once and ends it. */
export async function sendTraced(
  env: Readonly<Record<string, string>>,
  program?: Program,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using service = await startService(
    { OTEL_ENABLED: 'true', QUEUE_ENABLED: 'true', NODE_ID: 'n1', DRAIN_SECONDS: '1', ...env },
    program,
  )
  const { status } = await fetch(`${service.url}/api/v1/notifications/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, ...headers },
    body: JSON.stringify({ target_user_id: 'u', event_type: 'e', payload: 1 }),
  })
  service.signal('SIGTERM')
  const { code, stderr } = await service.ended
  if (status !== 200 || code !== 0 || stderr !== '')
    throw new Error(`${status}, exit code ${code}: ${stderr}`)
}

/** Spans of a process for one send and an immediate end; `program` is its command. */
export async function tracesOfProcess(
  program?: Program,
  { env = {}, ...way }: Way & { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<readonly Received[]> {
  await using collector = await startCollector(0, way)
  await sendTraced({ ...tracedBy(collector), ...env }, program)
  return collector.spans.all
}

// The first service loads the SDK and the exporter: the time limit of no test includes that.
await tracesOf(app => app.get('/health'))
