import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { clockWith, follow, upTo } from '../support/ara.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy } from '../support/proxy.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually, publish, send } from '../support/visit.ts'

const TEST_MS = 60_000
/** So long that a busy machine does not make a quiet connection look dead. */
const HEARTBEAT_SECONDS = 2
const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' }
const TRANSPORTS = ['websocket', 'sse'] as const
const only = (transport: string) => (transport === 'sse' ? { WebSocket: undefined } : {})

const PAYLOADS = ['äöü € 😀 data: x', JSON.parse('{"__proto__":{"x":1}}'), null, ['\n\r\u2028']]

/** A stream as a proxy may pass it on: with comments, unknown fields and unknown messages. */
function eventsWith(endOfLine: string): Uint8Array {
  const connected = { type: 'connected', cursor: 'e:0', recovered: true, heartbeat_seconds: 30 }
  const notifications = PAYLOADS.map((payload, n) => ({
    type: 'notification',
    id: n === 0 ? '__proto__' : `n${n}`,
    event_type: 'e',
    payload,
    cursor: `e:${n + 1}`,
  }))
  const events = [connected, { type: 'of-the-future' }, ...notifications].map(message => [
    ': a comment, data: {',
    'id: 7',
    'event: some',
    'retry: 1000',
    `data: ${JSON.stringify(message)}`,
    '',
  ])
  return new TextEncoder().encode(['', ...events.flat(), ''].join(endOfLine))
}

test.each([
  [1, '\n'],
  [2, '\n'],
  [3, '\r\n'],
  [7, '\r\n'],
  [100_000, '\n'],
])(
  'a stream that arrives in pieces of %i bytes is read as sent, with lines that end in %j',
  async (size, endOfLine) => {
    await using service = await startTestApp({})
    const token = await service.token('ann')
    const bytes = eventsWith(endOfLine)
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
      },
    })
    using ann = follow({
      url: service.url,
      token: () => token,
      WebSocket: undefined,
      fetch: async url => new Response(url.includes('/sse') ? body : '{"acked":[],"invalid":[]}'),
    })
    expect(await ann.got.take(PAYLOADS.length)).toEqual(PAYLOADS)
    expect(ann.client.connection.state).toBe('online')
  },
)

/** Follows over its own line, longer than two heartbeats, and then while the network swallows everything. */
async function silence(service: TestApp, transport: string): Promise<void> {
  await using line = await startProxy(service.port)
  let heartbeats = 0
  const count = (text: string) => {
    if (text.includes('"type":"heartbeat"')) heartbeats++
  }
  class Counted extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      this.addEventListener('message', ({ data }) => count(String(data)))
    }
  }
  using follower = follow({
    url: `http://127.0.0.1:${line.port}`,
    token: () => service.token(transport),
    WebSocket: transport === 'sse' ? undefined : (Counted as never),
    fetch: async (url, init) => {
      const { body, ...answer } = await fetch(url, init)
      const counted = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          count(new TextDecoder().decode(chunk))
          controller.enqueue(chunk)
        },
      })
      return new Response(body?.pipeThrough(counted), answer)
    },
  })
  await eventually(() => heartbeats >= 3)
  expect(follower.states.all.map(({ state }) => state)).toEqual(['connecting', 'online'])
  const elapsed = startStopwatch()
  line.freeze()
  await send(service, transport, 1)
  await follower.states.until(({ state }) => state === 'waiting')
  expect(elapsed()).toBeLessThan(2 * HEARTBEAT_SECONDS * 1_000 + 500)
  line.thaw()
  await send(service, transport, 2)
  expect(await follower.got.take(2)).toEqual([1, 2])
}

test(
  'a quiet connection stays, and one whose network swallows everything ends within two heartbeats',
  async () => {
    await using service = await startTestApp({
      ...LOG,
      WEBSOCKET_HEARTBEAT_INTERVAL: String(HEARTBEAT_SECONDS),
    })
    await Promise.all(TRANSPORTS.map(transport => silence(service, transport)))
  },
  TEST_MS,
)

test.each(TRANSPORTS)(
  'a connection that is cut again and again loses and repeats nothing (%s)',
  async transport => {
    await using service = await startTestApp(LOG)
    await using line = await startProxy(service.port)
    using ann = follow({
      url: `http://127.0.0.1:${line.port}`,
      token: () => service.token('ann'),
      clock: clockWith(ms => ms / 50),
      ...only(transport),
    })
    ann.client.subscribe('room')
    const last = 200
    for (const payload of upTo(last)) {
      await send(service, 'ann', payload)
      if (payload % 10 === 2) line.cut()
      if (payload % 10 === 7) await ann.client.ready()
    }
    await eventually(() => ann.got.all.length >= last)
    await ann.client.ready()
    await publish(service, 'room', last + 1)
    await eventually(() => ann.got.all.length > last)
    expect({ got: ann.got.all, gaps: ann.gaps }).toEqual({ got: upTo(last + 1), gaps: [] })
  },
  TEST_MS,
)

test(
  'a log that is replaced in the middle of a replay is reported once, after what had arrived, before what follows',
  async () => {
    const env = { ...LOG, SERVER_PORT: String(await freePort()), DRAIN_SECONDS: '0' }
    const first = await startService(env)
    for (const payload of upTo(300)) await first.send('ann', payload)
    const seen: unknown[] = []
    using ann = follow({ url: first.url, token: () => first.token('ann') })
    const slow = Promise.withResolvers<void>()
    ann.client.on('e', ({ payload }) => {
      seen.push(payload)
      return payload === 20 ? slow.promise : undefined
    })
    ann.client.onGap(({ reason }) => seen.push(reason))
    await eventually(() => seen.length === 20)
    first.signal('SIGKILL')
    await first.ended
    await using second = await startService(env)
    await second.send('ann', 'new')
    await ann.states.until(({ state }) => state === 'waiting')
    await ann.states.until(({ state }) => state === 'online')
    slow.resolve()
    await eventually(() => seen.includes('new'))
    const arrived = seen.length - 2
    expect(arrived).toBeGreaterThanOrEqual(20)
    expect(seen).toEqual([...upTo(arrived), 'epoch_changed', 'new'])
  },
  TEST_MS,
)
