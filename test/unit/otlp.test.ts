import { afterAll, describe, expect, test } from 'bun:test'
import { createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createExporter } from '../../src/observe/otlp.ts'
import { createStoppedClock } from '../support/clock.ts'

type Answer = (stream: ServerHttp2Stream) => void

const GRPC = { ':status': 200, 'content-type': 'application/grpc' }
const withTrailers =
  (trailers: Record<string, string>): Answer =>
  stream => {
    stream.respond(GRPC, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers(trailers))
    stream.end(Buffer.alloc(5))
  }

/** A collector that answers each call as it is told. */
let answer: Answer = () => {}
const server = createServer()
server.on('stream', (stream: ServerHttp2Stream) => {
  stream.on('error', () => {})
  stream.resume()
  stream.on('end', () => answer(stream))
})
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
afterAll(() => server.close())

function startExporter(deadlineMs?: number) {
  const clock = createStoppedClock()
  const told: (string | undefined)[] = []
  let serialised = 0
  const exporter = createExporter({
    endpoint: `http://127.0.0.1:${port}`,
    serialize: () => {
      serialised++
      return Buffer.from('a message')
    },
    clock,
    ...(deadlineMs !== undefined && { deadlineMs }),
    onChange: fault => told.push(fault),
  })
  return {
    clock,
    told,
    get serialised() {
      return serialised
    },
    /** Resolves with whether the batch was taken. */
    export: () => new Promise<boolean>(resolve => exporter.export([], ({ code }) => resolve(code === 0))),
    exporter,
    [Symbol.dispose]: () => exporter.destroy(),
  }
}

const OK = withTrailers({ 'grpc-status': '0' })

const FAILURES: readonly (readonly [what: string, answer: Answer, told: string])[] = [
  ['a status in its trailers', withTrailers({ 'grpc-status': '8', 'grpc-message': 'a-secret' }), 'status 8'],
  [
    'a status in its only headers',
    stream => stream.respond({ ...GRPC, 'grpc-status': '14' }, { endStream: true }),
    'status 14',
  ],
  ['an answer without a status', stream => stream.respond(GRPC, { endStream: true }), 'no answer'],
  [
    'an answer that is not of gRPC',
    stream => {
      stream.respond({ ':status': 404 })
      stream.end('not here')
    },
    'status HTTP 404',
  ],
  ['a connection that is cut', stream => stream.session?.destroy(), 'no answer'],
]

for (const [what, how, fault] of FAILURES)
  test(`${what} is a failure, told once by a word of ours`, async () => {
    using run = startExporter()
    answer = how
    expect(await run.export()).toBe(false)
    run.clock.jump(5)
    expect(await run.export()).toBe(false)
    expect(run.told).toEqual([fault])
  })

test('a collector that does not answer in time has failed, and is asked over another connection', async () => {
  using run = startExporter(50)
  const sessions = new Set<unknown>()
  answer = ({ session }) => void sessions.add(session)
  expect(await run.export()).toBe(false)
  run.clock.jump(5)
  expect(await run.export()).toBe(false)
  expect([run.told, sessions.size]).toEqual([['no answer'], 2])
})

describe('after a failure', () => {
  test('batches are dropped for 5 s without a look at them; then one is tried, and coming back is told once', async () => {
    using run = startExporter()
    answer = withTrailers({ 'grpc-status': '14' })
    expect(await run.export()).toBe(false)
    answer = OK
    run.clock.jump(4.9)
    for (let n = 0; n < 100; n++) expect(await run.export()).toBe(false)
    expect(run.serialised).toBe(1)
    run.clock.jump(0.1)
    for (let n = 0; n < 3; n++) expect(await run.export()).toBe(true)
    expect(run.told).toEqual(['status 14', undefined])
  })

  test('nothing is told of a collector that was never away', async () => {
    using run = startExporter()
    answer = OK
    expect([await run.export(), await run.export()]).toEqual([true, true])
    expect(run.told).toEqual([])
  })
})

test('its end waits for what is under way, and being cut ends that', async () => {
  using patient = startExporter()
  answer = stream => setTimeout(() => OK(stream), 20)
  const taken = patient.export()
  await patient.exporter.shutdown()
  expect(await taken).toBe(true)
  const cut = startExporter()
  const asked = Promise.withResolvers<void>()
  answer = () => asked.resolve()
  const pending = cut.export()
  await asked.promise
  cut.exporter.destroy()
  expect(await pending).toBe(false)
})
