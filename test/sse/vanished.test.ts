import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { type VanishingClient, vanishingClient } from '../support/black-hole.ts'
import { createTestClock } from '../support/clock.ts'
import { eventually, send, socketOf, streamOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }

const connections = async (app: TestApp): Promise<number> => (await app.get('/health')).json.connections.total

const stateOf = async (app: TestApp, id: string): Promise<string> =>
  (await app.get(`/api/v1/notifications/${id}`)).json.recipients[0].state

/** A stream whose network can vanish. */
async function openStream(app: TestApp, user: string): Promise<VanishingClient> {
  const client = vanishingClient(
    app.port,
    `GET /sse?token=${await app.token(user)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
  )
  await eventually(() => client.text().includes('event: connected'))
  return client
}

/** The first payloads on a WebSocket without a cursor: entries that no device has received. */
async function missedBy(app: TestApp, user: string, count: number): Promise<unknown[]> {
  using socket = await socketOf(app, user)
  return (await socket.take(count)).map(({ payload }) => payload)
}

const SHORT = { WEBSOCKET_HEARTBEAT_INTERVAL: '1', WEBSOCKET_CONNECTION_TIMEOUT: '2' }

for (const host of ['127.0.0.1', '::'])
  test(`on ${host} events to a vanished client do not count as received, and its stream is cut`, async () => {
    await using app = await startTestApp({ ...LOG_ON, ...SHORT, SERVER_HOST: host })
    using client = await openStream(app, 'u')
    const { notification_id: seen } = await send(app, 'u', 'seen')
    await eventually(
      async () => client.text().includes('"seen"') && (await stateOf(app, seen)) === 'received',
    )
    client.vanish()
    const swallowed = []
    for (const n of [1, 2, 3, 4]) swallowed.push(await send(app, 'u', n))
    expect(swallowed).toMatchObject(Array(4).fill({ delivered_to: 1 }))
    await eventually(async () => (await connections(app)) === 0)
    for (const { notification_id: id } of swallowed) expect(await stateOf(app, id)).toBe('sent')
    expect(await send(app, 'u', 5)).toMatchObject({ status: 'queued', delivered_to: 0 })
    expect(await missedBy(app, 'u', 5)).toEqual([1, 2, 3, 4, 5])
    expect(app.lines.filter(({ event }) => event === 'connection.slow_consumer')).toEqual([])
  }, 20_000)

test('vanished streams count against the limit of their user until the timeout at most', async () => {
  await using app = await startTestApp({ ...SHORT, WEBSOCKET_MAX_CONNECTIONS_PER_USER: '2' })
  using first = await openStream(app, 'u')
  using second = await openStream(app, 'u')
  first.vanish()
  second.vanish()
  await eventually(async () => (await connections(app)) === 0)
  using third = await streamOf(app, 'u')
  expect(await third.next()).toMatchObject({ event: 'connected' })
}, 20_000)

test('a busy stream whose client acknowledges is never cut, and its events count as received', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '1000' }, { clock })
  using stream = await streamOf(app, 'u')
  const ids: string[] = []
  for (let n = 0; n < 8; n++) {
    for (let m = 0; m < 10; m++) ids.push((await send(app, 'u', 'x'.repeat(2_000))).notification_id)
    clock.jump(31)
    await stream.nextOf('heartbeat')
  }
  expect(await connections(app)).toBe(1)
  await eventually(() => stream.inbox.all.filter(({ event }) => event === 'notification').length === 80)
  while ((await stateOf(app, ids.at(-1) ?? '')) !== 'received') {
    clock.jump(31)
    await stream.nextOf('heartbeat')
  }
  stream.close()
  await eventually(async () => (await connections(app)) === 0)
  await send(app, 'u', 'last')
  expect(await missedBy(app, 'u', 1)).toEqual(['last'])
}, 20_000)

for (const [what, read, missed] of [
  ['cannot be read prove nothing', async () => undefined, [1, 2]],
  ['are empty prove all', async () => new Map(), [2]],
] as const)
  test(`send queues that ${what}`, async () => {
    const clock = createTestClock()
    await using app = await startTestApp(LOG_ON, { clock, wrapQueues: queues => ({ ...queues, read }) })
    using stream = await streamOf(app, 'u')
    await send(app, 'u', 1)
    await stream.take(2)
    for (let n = 0; n < 3; n++) {
      clock.jump(31)
      await stream.nextOf('heartbeat')
    }
    stream.close()
    await eventually(async () => (await connections(app)) === 0)
    await send(app, 'u', 2)
    expect(await missedBy(app, 'u', missed.length)).toEqual([...missed])
  })

test('vanished streams at the limit make room one by one, and a busy live stream stays open', async () => {
  await using app = await startTestApp(LOG_ON)
  using live = await streamOf(app, 'u')
  await live.nextOf('connected')
  const ghosts = await Promise.all(Array.from({ length: 4 }, () => openStream(app, 'u')))
  for (const ghost of ghosts) ghost.vanish()
  const sending = new AbortController()
  const sent = awaitedLater(
    (async () => {
      for (let count = 0; ; count++) {
        if (sending.signal.aborted) return count
        await send(app, 'u', count)
        await Bun.sleep(20)
      }
    })(),
  )
  const opened = []
  for (let n = 0; n < 4; n++) {
    const stream = await streamOf(app, 'u')
    await stream.nextOf('connected')
    opened.push(stream)
  }
  const over = await fetch(`${app.url}/sse?token=${await app.token('u')}`)
  expect(over.status).toBe(429)
  await over.body?.cancel()
  sending.abort()
  const count = await sent
  const received = () => live.inbox.all.filter(({ event }) => event === 'notification').length
  await eventually(() => received() === count)
  expect(await connections(app)).toBe(5)
  for (const stream of opened) stream.close()
  for (const ghost of ghosts) ghost[Symbol.dispose]()
}, 30_000)
