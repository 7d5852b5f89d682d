import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CERTIFICATE } from '../support/certificate.ts'
import { startCollector } from '../support/collector.ts'
import { spawnService } from '../support/service.ts'
import { only, sendTraced } from '../support/traced.ts'

// Allow time: each test starts several processes.
setDefaultTimeout(30_000)

const NAMES = ['store.append', 'dispatch', 'HTTP POST /api/v1/notifications/send']
const REQUEST = NAMES[2] ?? ''
const [TRACE, SPAN] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331']

let folder: string
let certificate: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ara-traces-'))
  certificate = join(folder, 'ca.pem')
  await writeFile(certificate, CERTIFICATE)
})
afterAll(() => rm(folder, { recursive: true }))

type Environment = Readonly<Record<string, string>>

/** Spans that a collector receives for one send of a service with these settings. */
async function received(
  env: (endpoint: string) => Environment,
  { http = false, tls = false, headers = {} }: { http?: boolean; tls?: boolean; headers?: Environment } = {},
) {
  await using collector = await startCollector(0, { http, tls })
  await sendTraced(env(collector.endpoint), undefined, headers)
  return { spans: collector.spans.all, headers: collector.headers }
}

const namesOf = async (...asked: Parameters<typeof received>) =>
  (await received(...asked)).spans.map(({ name }) => name)

const HTTP = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }

describe('the standard variables name the target of spans', () => {
  test.each([
    ['OTEL_EXPORTER_OTLP_ENDPOINT', false],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', true],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', false],
  ] as const)('%s, over HTTP: %p', async (name, http) => {
    const env = (endpoint: string) => ({ [name]: endpoint, ...(http && HTTP) })
    expect(await namesOf(env, { http })).toEqual(NAMES)
  })

  test('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT over HTTP is the whole address', async () => {
    const env = (endpoint: string) => ({
      ...HTTP,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/v1/traces`,
    })
    expect(await namesOf(env, { http: true })).toEqual(NAMES)
  })

  test('OTEL_ENDPOINT wins, over gRPC and over HTTP', async () => {
    for (const http of [false, true]) {
      const env = (endpoint: string) => ({
        OTEL_ENDPOINT: endpoint,
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:1',
        ...(http && HTTP),
      })
      expect(await namesOf(env, { http })).toEqual(NAMES)
    }
  })

  test('TLS trusts OTEL_EXPORTER_OTLP_CERTIFICATE and NODE_EXTRA_CA_CERTS', async () => {
    for (const http of [false, true])
      for (const name of ['OTEL_EXPORTER_OTLP_CERTIFICATE', 'NODE_EXTRA_CA_CERTS']) {
        const env = (endpoint: string) => ({
          OTEL_ENDPOINT: endpoint,
          [name]: certificate,
          ...(http && HTTP),
        })
        expect([http, name, await namesOf(env, { http, tls: true })]).toEqual([http, name, NAMES])
      }
  })

  test('an endpoint without a scheme uses TLS, unless OTEL_EXPORTER_OTLP_INSECURE is set', async () => {
    const env = (endpoint: string) => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint.replace('http://', ''),
      OTEL_EXPORTER_OTLP_INSECURE: 'true',
    })
    expect(await namesOf(env)).toEqual(NAMES)
  })
})

test('OTEL_EXPORTER_OTLP_HEADERS are sent with every batch and never logged', async () => {
  for (const http of [false, true]) {
    const { headers } = await received(
      endpoint => ({
        OTEL_ENDPOINT: endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a%20b,authorization=Bearer%20hidden',
        ...(http && HTTP),
      }),
      { http },
    )
    expect([headers['x-team'], headers['authorization']]).toEqual(['a b', 'Bearer hidden'])
  }
})

test('OTEL_EXPORTER_OTLP_COMPRESSION=gzip compresses the batches', async () => {
  const env = (endpoint: string) => ({
    OTEL_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
  })
  expect(await namesOf(env)).toEqual(NAMES)
  expect(await namesOf(endpoint => ({ ...env(endpoint), ...HTTP }), { http: true })).toEqual(NAMES)
})

test('OTEL_RESOURCE_ATTRIBUTES describe the service; its node stays the instance', async () => {
  const { spans } = await received(endpoint => ({
    OTEL_ENDPOINT: endpoint,
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=prod,service.name=mine,service.instance.id=other',
  }))
  expect(only(spans, REQUEST).resource).toMatchObject({
    'deployment.environment.name': 'prod',
    'service.name': 'mine',
    'service.instance.id': 'n1',
  })
})

test('OTEL_SERVICE_NAME wins over OTEL_RESOURCE_ATTRIBUTES', async () => {
  const { spans } = await received(endpoint => ({
    OTEL_ENDPOINT: endpoint,
    OTEL_SERVICE_NAME: 'ours',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=mine',
  }))
  expect(only(spans, REQUEST).resource['service.name']).toBe('ours')
})

test('OTEL_TRACES_SAMPLER decides, and OTEL_SAMPLING_RATIO wins', async () => {
  const never = { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0' }
  expect(await namesOf(endpoint => ({ OTEL_ENDPOINT: endpoint, ...never }))).toEqual([])
  expect(
    await namesOf(endpoint => ({ OTEL_ENDPOINT: endpoint, ...never, OTEL_SAMPLING_RATIO: '1' })),
  ).toEqual(NAMES)
})

test('OTEL_PROPAGATORS select the headers of the parent', async () => {
  const b3 = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }
  const w3c = { traceparent: `00-${TRACE}-${SPAN}-01` }
  const parentOf = async (env: Environment, headers: Environment) => {
    const { spans } = await received(endpoint => ({ OTEL_ENDPOINT: endpoint, ...env }), { headers })
    const { traceId, parentId } = only(spans, REQUEST)
    return traceId === TRACE ? parentId : 'none'
  }
  expect(await parentOf({}, w3c)).toBe(SPAN)
  expect(await parentOf({}, b3)).toBe('none')
  expect(await parentOf({ OTEL_PROPAGATORS: 'b3multi' }, b3)).toBe(SPAN)
  expect(await parentOf({ OTEL_PROPAGATORS: 'none' }, w3c)).toBe('none')
})

test('OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER=none and OTEL_ENABLED=false send nothing', async () => {
  expect(await namesOf(endpoint => ({ OTEL_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' }))).toEqual([])
  expect(await namesOf(endpoint => ({ OTEL_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'true' }))).toEqual([])
  expect(await namesOf(endpoint => ({ OTEL_ENDPOINT: endpoint, OTEL_ENABLED: 'false' }))).toEqual([])
})

test('an unknown protocol stops the start with one line that names the variable', async () => {
  const child = spawnService({ OTEL_ENABLED: 'true', OTEL_EXPORTER_OTLP_PROTOCOL: 'smtp' })
  expect(await child.stderr.text()).toBe(
    'OTEL_EXPORTER_OTLP_PROTOCOL: expected one of grpc, http/protobuf, http/json\n',
  )
  expect(await child.exited).toBe(1)
})
