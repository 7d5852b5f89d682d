import { expect, test } from 'bun:test'
import type { ClientOptions } from '../../client/src/types.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { clockWith, type Follower, follow, upTo } from '../support/ara.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { type Gate, isUpgrade, startGate } from '../support/gate.ts'
import { connectionsOf, eventually, publish, send } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true' }
const TEST_MS = 60_000
/** Tries WebSockets again after a second, not after five minutes. */
const impatient = clockWith(ms => (ms >= 300_000 ? 1_000 : ms))

const channelsOf = async (service: TestApp): Promise<string> =>
  (await service.get('/api/v1/channels')).json.channels.map(({ name }: { name: string }) => name).join()

/** Follows as a user whose network blocks WebSockets. */
function followByStream(service: TestApp, gate: Gate, options: Partial<ClientOptions> = {}): Follower {
  gate.refuse = head => (isUpgrade(head) ? 403 : undefined)
  const clock = clockWith(ms => (ms < 15_000 ? ms / 20 : ms))
  return follow({ url: gate.url, token: () => service.token('ann'), clock, ...options })
}

const onlineBy = ({ states }: Follower, transport: string) =>
  states.until(state => state.transport === transport)

test('a channel that joins an open stream receives, and nothing else notices', async () => {
  await using service = await startTestApp(LOG)
  await using gate = await startGate(service.port)
  /** Channels in the addresses of the streams. */
  const named: string[] = []
  using ann = followByStream(service, gate, {
    fetch: (url, init) => {
      const { pathname, searchParams } = new URL(url)
      if (pathname === '/sse') named.push(searchParams.get('channels') ?? '')
      return fetch(url, init)
    },
  })
  await onlineBy(ann, 'sse')
  const before = ann.states.all.length
  ann.client.subscribe('room')
  await ann.client.ready()
  await publish(service, 'room', 1)
  ann.client.subscribe('hall')
  ann.client.subscribe('yard')
  await ann.client.ready()
  await publish(service, 'room', 2)
  await publish(service, 'yard', 3)
  await send(service, 'ann', 4)
  expect(await ann.got.take(4)).toEqual([1, 2, 3, 4])
  const states = new Set(ann.states.all.slice(before).map(snapshot => JSON.stringify(snapshot)))
  expect([...states]).toEqual([JSON.stringify({ state: 'online', transport: 'sse' })])
  expect(named).toEqual(['', 'room', 'room,hall,yard'])
  await eventually(async () => (await connectionsOf(service, 'ann')) === 1)
})

test('a stream is left by the channels that the page leaves', async () => {
  await using service = await startTestApp(LOG)
  await using gate = await startGate(service.port)
  using ann = followByStream(service, gate)
  const leave = ann.client.subscribe('room')
  ann.client.subscribe('hall')
  await onlineBy(ann, 'sse')
  leave()
  await eventually(async () => (await channelsOf(service)) === 'hall')
  await publish(service, 'room', 1)
  await publish(service, 'hall', 2)
  expect(await ann.got.take(1)).toEqual([2])
})

test(
  'while channels come and go, the stream loses and repeats nothing of the others, nor of the user',
  async () => {
    await using service = await startTestApp(LOG)
    await using gate = await startGate(service.port)
    using ann = followByStream(service, gate)
    ann.client.subscribe('room')
    await onlineBy(ann, 'sse')
    const rounds = upTo(10)
    let isDone = false
    const sending = awaitedLater(
      (async () => {
        let sent = 0
        while (!isDone) {
          sent++
          await (sent % 2 ? send(service, 'ann', sent) : publish(service, 'room', sent))
        }
        return sent
      })(),
    )
    for (const round of rounds) {
      const leave = ann.client.subscribe(`other${round}`)
      await ann.client.ready()
      if (round % 2) leave()
    }
    isDone = true
    const sent = await sending
    await eventually(() => ann.got.all.length >= sent)
    // Two streams in turn: one may be a little ahead of the other.
    expect(ann.got.all.toSorted((a, b) => Number(a) - Number(b))).toEqual(upTo(sent))
    expect(ann.gaps).toEqual([])
  },
  TEST_MS,
)

test('a channel that a stream refuses shows in `connection.error`, and the others are joined', async () => {
  await using service = await startTestApp({ ...LOG, CHANNEL_ACCESS: 'claims' })
  await using gate = await startGate(service.port)
  using ann = followByStream(service, gate, {
    token: () => service.token('ann', { channels: ['mine', 'my*'] }),
  })
  ann.client.subscribe('mine', 'yours', 'a bad name')
  await onlineBy(ann, 'sse')
  await ann.client.ready()
  const refused = { code: 'SUBSCRIPTION_ERROR', message: 'a bad name,yours' }
  expect(ann.client.connection).toEqual({ state: 'online', transport: 'sse', error: refused })
  ann.client.subscribe('my own', 'my-other', 'theirs')
  await ann.client.ready()
  expect(await channelsOf(service)).toBe('mine,my-other')
  await publish(service, 'my-other', 1)
  expect(await ann.got.take(1)).toEqual([1])
})

test('a stream of a user who may have one connection takes other channels, too', async () => {
  await using service = await startTestApp({ ...LOG, WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' })
  await using gate = await startGate(service.port)
  using ann = followByStream(service, gate)
  await onlineBy(ann, 'sse')
  ann.client.subscribe('room')
  await ann.client.ready()
  await publish(service, 'room', 1)
  expect(await ann.got.take(1)).toEqual([1])
})

test(
  'a stream is replaced before its token expires, and a failing token endpoint does not end it',
  async () => {
    await using service = await startTestApp(LOG)
    await using gate = await startGate(service.port)
    let asked = 0
    using ann = followByStream(service, gate, {
      WebSocket: undefined,
      // The timer of the next question runs faster.
      clock: clockWith(ms => ms / 20),
      token: () => {
        asked++
        if (asked === 2) throw new Error('out of tokens')
        return service.token('ann', { exp: Math.floor(Date.now() / 1000) + (asked === 1 ? 20 : 3600) })
      },
    })
    await eventually(() => asked === 3)
    await eventually(async () => (await connectionsOf(service, 'ann')) === 1)
    expect(ann.states.all.map(({ state }) => state)).not.toContain('waiting')
    await ann.states.until(({ state, error }) => state === 'online' && error === undefined)
  },
  TEST_MS,
)

test(
  'from WebSocket to stream and back the client keeps its channels',
  async () => {
    await using service = await startTestApp(LOG)
    await using gate = await startGate(service.port)
    using ann = followByStream(service, gate, { clock: impatient })
    ann.client.subscribe('room')
    await onlineBy(ann, 'sse')
    ann.client.subscribe('hall')
    await ann.client.ready()
    const before = ann.states.all.length
    gate.refuse = () => undefined
    await onlineBy(ann, 'websocket')
    await ann.client.ready()
    await publish(service, 'room', 1)
    await publish(service, 'hall', 2)
    expect(await ann.got.take(2)).toEqual([1, 2])
    const states = new Set(ann.states.all.slice(before).map(({ state }) => state))
    expect([...states]).toEqual(['online'])
    await eventually(async () => (await connectionsOf(service, 'ann')) === 1)
  },
  TEST_MS,
)

test('channels beyond the limit are refused, and the stream goes on', async () => {
  await using service = await startTestApp({ ...LOG, WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '2' })
  await using gate = await startGate(service.port)
  using ann = followByStream(service, gate)
  await onlineBy(ann, 'sse')
  ann.client.subscribe(...upTo(30).map(n => `room${n}`))
  await ann.client.ready()
  expect(ann.client.connection.error?.code).toBe('SUBSCRIPTION_ERROR')
  expect(await channelsOf(service)).toBe('room1,room2')
})
