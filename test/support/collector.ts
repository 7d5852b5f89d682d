import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createSecureServer, createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { CERTIFICATE, PRIVATE_KEY } from './certificate.ts'
import { createInbox, type Inbox } from './inbox.ts'

/** Span as decoded by the collector. */
export interface Received {
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  readonly traceId: string
  readonly spanId: string
  /** Id of the parent; empty for the first span of a trace. */
  readonly parentId: string
  readonly traceState: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** Links as `<trace id>:<span id>`. */
  readonly links: readonly string[]
  readonly failed: boolean
  readonly durationMs: number
  /** Resource attributes of the sender. */
  readonly resource: Readonly<Record<string, unknown>>
}

export interface Collector extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:<port>`, or `https` */
  readonly endpoint: string
  readonly spans: Inbox<Received>
  /** All received bytes, as text. */
  raw(): string
  /** Headers of the last request. */
  readonly headers: Readonly<Record<string, unknown>>
}

/** Decodes fields of a Protocol Buffers message by number: numbers for varint and fixed fields, else bytes. */
function fieldsOf(bytes: Uint8Array): ReadonlyMap<number, (bigint | Uint8Array)[]> {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fields = new Map<number, (bigint | Uint8Array)[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const valueAt = (wire: number): bigint | Uint8Array => {
    if (wire === 0) return varint()
    const length = wire === 2 ? Number(varint()) : wire === 1 ? 8 : 4
    at += length
    if (wire === 2) return view.subarray(at - length, at)
    return wire === 1 ? view.readBigUInt64LE(at - 8) : BigInt(view.readUInt32LE(at - 4))
  }
  while (at < view.length) {
    const key = Number(varint())
    const values = fields.get(key >> 3) ?? []
    fields.set(key >> 3, [...values, valueAt(key & 7)])
  }
  return fields
}

type Fields = ReturnType<typeof fieldsOf>

const EMPTY = new Uint8Array()
const all = (fields: Fields, number: number): Uint8Array[] =>
  (fields.get(number) ?? []).filter(value => value instanceof Uint8Array)
const bytesOf = (fields: Fields, number: number): Uint8Array => all(fields, number)[0] ?? EMPTY
const textOf = (fields: Fields, number: number): string => Buffer.from(bytesOf(fields, number)).toString()
const hexOf = (fields: Fields, number: number): string => Buffer.from(bytesOf(fields, number)).toString('hex')
const numberOf = (fields: Fields, number: number): bigint => {
  const value = fields.get(number)?.[0]
  return typeof value === 'bigint' ? value : 0n
}

function anyValue(fields: Fields): unknown {
  if (fields.has(1)) return textOf(fields, 1)
  if (fields.has(2)) return numberOf(fields, 2) === 1n
  if (fields.has(3)) return Number(numberOf(fields, 3))
  return 'of another type'
}

const attributesOf = (list: readonly Uint8Array[]): Record<string, unknown> =>
  Object.fromEntries(
    list.map(bytes => {
      const pair = fieldsOf(bytes)
      return [textOf(pair, 1), anyValue(fieldsOf(bytesOf(pair, 2)))]
    }),
  )

const KINDS = ['internal', 'internal', 'server', 'client', 'producer', 'consumer'] as const

function spanOf(bytes: Uint8Array, resource: Received['resource']): Received {
  const fields = fieldsOf(bytes)
  return {
    name: textOf(fields, 5),
    kind: KINDS[Number(numberOf(fields, 6))] ?? 'internal',
    traceId: hexOf(fields, 1),
    spanId: hexOf(fields, 2),
    parentId: hexOf(fields, 4),
    traceState: textOf(fields, 3),
    attributes: attributesOf(all(fields, 9)),
    links: all(fields, 13).map(link => `${hexOf(fieldsOf(link), 1)}:${hexOf(fieldsOf(link), 2)}`),
    failed: numberOf(fieldsOf(bytesOf(fields, 15)), 3) === 2n,
    durationMs: Number(numberOf(fields, 8) - numberOf(fields, 7)) / 1e6,
    resource,
  }
}

/** Decodes `ExportTraceServiceRequest` of OTLP. */
function spansIn(request: Uint8Array): Received[] {
  return all(fieldsOf(request), 1).flatMap(bytes => {
    const ofResource = fieldsOf(bytes)
    const resource = attributesOf(all(fieldsOf(bytesOf(ofResource, 1)), 1))
    return all(ofResource, 2).flatMap(scope => all(fieldsOf(scope), 2).map(span => spanOf(span, resource)))
  })
}

/** Transport of spans to a collector. */
export interface Way {
  /** True for HTTP with Protocol Buffers, else gRPC. */
  readonly http?: boolean
  readonly tls?: boolean
}

/** Receives an `ExportTraceServiceRequest` with its unchanged headers. */
type Take = (request: Uint8Array, headers: Readonly<Record<string, unknown>>) => void

/** An OTLP/gRPC receiver: unary calls of one method over HTTP/2. */
function grpcServer(tls: boolean, take: Take): { readonly server: Server; cut(): void } {
  const server = tls ? createSecureServer({ key: PRIVATE_KEY, cert: CERTIFICATE }) : createServer()
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', session => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = []
    // The sender may not wait for the answer.
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => void chunks.push(chunk))
    stream.on('end', () => {
      const isExport =
        headers[':path'] === '/opentelemetry.proto.collector.trace.v1.TraceService/Export' &&
        String(headers['content-type']).startsWith('application/grpc') &&
        headers['te'] === 'trailers'
      if (stream.destroyed) return
      const message = Buffer.concat(chunks)
      const isWhole = message.readUInt32BE(1) === message.length - 5
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': isExport && isWhole ? '0' : '3' }))
      stream.end(Buffer.alloc(5))
      if (!isExport || !isWhole) return
      const isCompressed = message.readUInt8(0) === 1
      take(isCompressed ? Bun.gunzipSync(message.subarray(5)) : message.subarray(5), headers)
    })
  })
  return {
    server,
    cut: () => {
      for (const session of sessions) session.destroy()
    },
  }
}

/** An OTLP/HTTP receiver of Protocol Buffers. */
function httpServer(tls: boolean, take: Take): { readonly server: Server; cut(): void } {
  const answer: RequestListener = (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => void chunks.push(chunk))
    request.on('end', () => {
      const { method, url, headers } = request
      const isExport =
        method === 'POST' && url === '/v1/traces' && headers['content-type'] === 'application/x-protobuf'
      response.writeHead(isExport ? 200 : 400, { 'content-type': 'application/x-protobuf' }).end()
      const body = Buffer.concat(chunks)
      if (isExport) take(headers['content-encoding'] === 'gzip' ? Bun.gunzipSync(body) : body, headers)
    })
  }
  const server = tls
    ? createHttpsServer({ key: PRIVATE_KEY, cert: CERTIFICATE }, answer)
    : createHttpServer(answer)
  return { server, cut: () => server.closeAllConnections() }
}

/** Starts a small OTLP receiver on the given port, else on a free one. */
export async function startCollector(port = 0, { http = false, tls = false }: Way = {}): Promise<Collector> {
  const spans = createInbox<Received>()
  const seen: Uint8Array[] = []
  let last: Readonly<Record<string, unknown>> = {}
  const take: Take = (request, headers) => {
    seen.push(request)
    last = headers
    for (const span of spansIn(request)) spans.push(span)
  }
  const { server, cut } = http ? httpServer(tls, take) : grpcServer(tls, take)
  const listening = Promise.withResolvers<void>()
  server.on('error', listening.reject)
  server.listen(port, '127.0.0.1', listening.resolve)
  await listening.promise
  const { port: listens } = server.address() as AddressInfo
  return {
    port: listens,
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${listens}`,
    spans,
    raw: () => Buffer.concat(seen).toString('latin1'),
    get headers() {
      return last
    },
    [Symbol.asyncDispose]: async () => {
      spans.end()
      cut()
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      await closed.promise
    },
  }
}
