import { expect, test } from 'bun:test'
import type { ServerWebSocket } from 'bun'
import { NO_CONNECTIONS } from '../../src/dispatch/reach.ts'
import type { Store } from '../../src/store/store.ts'
import { errorFrame } from '../../src/transport/outbound.ts'
import type { Sessions } from '../../src/transport/session.ts'
import { webSocketHandler } from '../../src/transport/websocket.ts'
import { WebSocketPeer } from '../../src/transport/websocket-peer.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { createStoppedClock } from '../support/clock.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { storePlace } from '../support/store-file.ts'
import {
  broadcast,
  eventually,
  publish,
  rawOf,
  send,
  sendToUsers,
  settle,
  socketOf,
  streamOf,
} from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const TEXT = 1

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, n) => from + n)
const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload)
const seqs = (messages: readonly Message[]) => messages.map(({ cursor }) => Number(cursor.split(':')[1]))
const connections = async (app: TestApp): Promise<number> => (await app.get('/health')).json.connections.total
const isNotification = ({ type }: Message) => type === 'notification'
/** A payload of about this many bytes that begins with the number. */
const bulk = (n: number, bytes: number) => `${n} ${'x'.repeat(bytes)}`
const numberOf = ({ payload }: Message) => Number.parseInt(payload, 10)

async function subscribed(client: SocketClient, channels: readonly string[]): Promise<SocketClient> {
  client.send({ type: 'Subscribe', payload: { channels } })
  await client.nextOf('subscribed')
  return client
}

/** Runs the work for each number, at most `width` at a time. */
async function inParallel(count: number, width: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0
  const run = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, run))
}

/** Seeded random numbers of [0, 1). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

test('A user with 33, 100 and 10,000 queued notifications connects (WebSocket and SSE): all arrive, in order, the first 100 within a second.', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '10000' })
  const counts = [33, 100, 1_000, 10_000]
  const waysOf = (count: number) => [`v1-${count}`, `cursor-${count}`, `stream-${count}`]
  for (const n of numbers(10_000))
    await sendToUsers(app, counts.filter(count => n >= 10_000 - count).flatMap(waysOf), n)

  const quick = await socketOf(app, 'stream-10000', { cursor: '' })
  const elapsed = startStopwatch()
  await quick.take(101)
  expect(elapsed()).toBeLessThan(1_000)
  quick.close()

  await Promise.all(
    counts.map(async count => {
      const [v1 = '', cursor = '', sse = ''] = waysOf(count)
      const [socket, optedIn, stream] = await Promise.all([
        socketOf(app, v1),
        socketOf(app, cursor, { cursor: '' }),
        streamOf(app, sse),
      ])
      const expected = numbers(count, 10_000 - count)
      const last = await socket.take(count)
      expect(payloads(last)).toEqual(expected)
      expect(seqs(last)).toEqual(numbers(count, 1))
      expect(await optedIn.next()).toMatchObject({ type: 'connected', recovered: true, replayed: count })
      expect(payloads(await optedIn.take(count))).toEqual(expected)
      expect((await stream.next()).data).toMatchObject({
        type: 'connected',
        recovered: true,
        replayed: count,
      })
      expect(payloads((await stream.take(count)).map(({ data }) => data))).toEqual(expected)
      expect(await settle(socket)).toEqual([])
      expect(await send(app, v1, 'live')).toMatchObject({ delivered_to: 1 })
      expect(await socket.next()).toMatchObject({ payload: 'live' })
      socket.close()
      optedIn.close()
      stream.close()
    }),
  )
}, 60_000)

for (const [bytes, kind] of [
  [10, 'memory'],
  [8_000, 'memory'],
  [10, 'sqlite'],
] as const) {
  test(`A socket dies in the middle of a replay, after any number of frames (of ${bytes} bytes, ${kind} store): the rest arrives next time.`, async () => {
    await using place = await storePlace()
    const url = kind === 'sqlite' ? place.url : 'memory:'
    await using app = await startTestApp({ ...LOG_ON, STORE_URL: url })
    const users = numbers(101).flatMap(k => [`v1-${k}`, `cursor-${k}`])
    for (const n of numbers(100)) await sendToUsers(app, users, bulk(n, bytes))

    /** Reads k notifications, then dies. */
    const die = async (user: string, k: number, cursor?: string): Promise<Message[]> => {
      const seen: Message[] = []
      const client = await rawOf(app, user, {
        ...(cursor !== undefined && { cursor }),
        onFrame: ({ opcode, payload }, self) => {
          const message = opcode === TEXT && seen.length < k ? JSON.parse(payload.toString()) : {}
          if (isNotification(message)) seen.push(message)
          if (seen.length === k) self.reset()
        },
      })
      await client.closed
      return seen
    }
    const rest = async (user: string, cursor?: string): Promise<Message[]> => {
      using client = await socketOf(app, user, cursor === undefined ? {} : { cursor })
      const messages: Message[] = []
      while (numberOf(messages.at(-1) ?? { payload: '-1' }) !== 99)
        messages.push(await client.nextOf('notification'))
      return messages
    }

    await inParallel(101, 8, async k => {
      const seen = await die(`v1-${k}`, k)
      expect(seen.map(numberOf)).toEqual(numbers(k))
      // Read entries may be repeated, unread ones must arrive, all in order.
      const again = k === 100 ? [] : (await rest(`v1-${k}`)).map(numberOf)
      const first = again[0] ?? 100
      expect(first).toBeLessThanOrEqual(k)
      expect(again).toEqual(numbers(100 - first, first))
    })
    await inParallel(101, 8, async k => {
      const seen = await die(`cursor-${k}`, k, '')
      expect(seen.map(numberOf)).toEqual(numbers(k))
      if (k === 100) return
      expect((await rest(`cursor-${k}`, seen.at(-1)?.cursor ?? '')).map(numberOf)).toEqual(
        numbers(100 - k, k),
      )
    })
  }, 60_000)
}

test('receipts of a dying socket are never early: the next replay includes every frame after the last answered ping', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '1000' })
  const users = numbers(40).map(k => `u-${k}`)
  // Pages of 256 KiB hold some twenty of these; each page is followed by a ping.
  for (const n of numbers(100)) await sendToUsers(app, users, bulk(n, 12_000))
  let spared = 0
  await inParallel(40, 4, async k => {
    const dieAt = 1 + ((k * 37) % 99)
    let seen = 0
    const client = await rawOf(app, `u-${k}`, {
      onFrame: ({ opcode }, self) => {
        if (opcode === TEXT && ++seen === dieAt) self[Symbol.dispose]()
      },
    })
    await client.closed
    using again = await socketOf(app, `u-${k}`)
    const first = numberOf(await again.next())
    expect(first).toBeLessThanOrEqual(dieAt)
    expect((await again.take(99 - first)).map(numberOf)).toEqual(numbers(99 - first, first + 1))
    spared += first
  })
  // Receipts move the start; otherwise this test would prove nothing.
  expect(spared).toBeGreaterThan(0)
}, 60_000)

test('One client stops reading: other clients and the HTTP caller are unaffected.', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '1000' })
  using stuck = await rawOf(app, 'stuck', { cursor: '' })
  expect(await stuck.next()).toMatchObject({ type: 'connected' })
  stuck.send(TEXT, '{"type":"Subscribe","payload":{"channels":["c"]}}')
  await stuck.next()
  stuck.stall()
  const others = await Promise.all(
    numbers(10).map(async n => subscribed(await socketOf(app, `o-${n}`), ['c'])),
  )
  using sibling = await socketOf(app, 'stuck', { cursor: '' })
  await sibling.next()
  using stream = await streamOf(app, 's')
  await stream.next()

  let refused = 0
  for (const n of numbers(200)) {
    const toUser = await send(app, 'stuck', bulk(n, 60_000))
    expect(toUser.delivered_to).toBeGreaterThanOrEqual(1)
    expect(toUser.status).toBe('delivered')
    const toChannel = await publish(app, 'c', n)
    expect(toChannel.delivered_to).toBeGreaterThanOrEqual(10)
    const toAll = await broadcast(app, n)
    expect(toAll.delivered_to).toBeGreaterThanOrEqual(12)
    refused += toUser.failed + toChannel.failed + toAll.failed
  }
  expect(refused).toBe(1)
  expect(app.lines.filter(({ event }) => event === 'connection.slow_consumer')).toHaveLength(1)
  expect(await connections(app)).toBe(12)
  for (const other of others)
    expect(payloads(await other.take(400))).toEqual(numbers(200).flatMap(n => [n, n]))
  expect((await stream.take(200)).map(({ data }) => data.payload)).toEqual(numbers(200))
  const forSibling = (await sibling.take(400)).filter(({ cursor }) => cursor !== undefined)
  expect(forSibling.map(numberOf)).toEqual(numbers(200))

  stuck.resume()
  await stuck.closed
  const seen = stuck.messages.filter(
    ({ cursor, type }: Message) => type === 'notification' && cursor !== undefined,
  )
  const last = seen.at(-1) as Message
  expect(seen.length).toBeWithin(1, 199)
  expect(seen.map(numberOf)).toEqual(numbers(seen.length))
  using again = await socketOf(app, 'stuck', { cursor: last.cursor })
  expect(await again.next()).toMatchObject({ recovered: true, replayed: 200 - seen.length })
  expect((await again.take(200 - seen.length)).map(numberOf)).toEqual(numbers(200 - seen.length, seen.length))
  for (const other of others) other.close()
}, 60_000)

test('a client that stops reading published frames is cut; a slow reader is not', async () => {
  await using app = await startTestApp()
  const [stuck, slow] = await Promise.all([rawOf(app, 'stuck'), rawOf(app, 'slow')])
  using fast = await subscribed(await socketOf(app, 'fast'), ['c'])
  for (const client of [stuck, slow]) {
    client.send(TEXT, '{"type":"Subscribe","payload":{"channels":["c"]}}')
    await client.next()
    client.stall()
  }
  let failed = 0
  for (const n of numbers(300)) {
    const result = await publish(app, 'c', bulk(n, 60_000))
    expect(result.delivered_to).toBeGreaterThanOrEqual(2)
    failed += result.failed
    while (slow.messages.length < n - 20) await slow.step()
  }
  expect(failed).toBe(1)
  slow.resume()
  expect((await fast.take(300)).map(numberOf)).toEqual(numbers(300))
  // A heartbeat may come at any moment.
  const gotBy = ({ messages }: { readonly messages: readonly Message[] }) =>
    messages.filter(isNotification).map(numberOf)
  await eventually(() => gotBy(slow).length === 300)
  expect(gotBy(slow)).toEqual(numbers(300))
  stuck.resume()
  await stuck.closed
  expect(gotBy(stuck)).toEqual(numbers(gotBy(stuck).length))
  expect(await connections(app)).toBe(2)
  slow.reset()
}, 60_000)

test('a slow reader receives 300 notifications of 60 KB on one connection, WebSocket and SSE', async () => {
  await using app = await startTestApp({
    ...LOG_ON,
    QUEUE_MAX_SIZE_PER_USER: '1000',
    SEND_BUFFER_BYTES: '65536',
  })
  for (const n of numbers(300)) await sendToUsers(app, ['v1', 'cursor', 'stream'], bulk(n, 60_000))
  const slowly = async (user: string, cursor?: string) => {
    using client = await rawOf(app, user, cursor === undefined ? {} : { cursor })
    client.stall()
    let isClosed = false
    void client.closed.then(() => {
      isClosed = true
    })
    const got = () => client.messages.filter(isNotification)
    // Each step gives the service a turn to notice the small room.
    while (got().length < 300 && !isClosed) {
      await client.step()
      // Buffered frames may now leave together with the answer to this ping.
      client.send(9, 'ping')
      await app.get('/health/live')
    }
    expect(got().map(numberOf)).toEqual(numbers(300))
    client.resume()
    await send(app, user, 'live', { ttl: 0 })
    await eventually(() => got().at(-1)?.['payload'] === 'live')
    client.reset()
  }
  const streamSlowly = async (user: string) => {
    using exchange = await exchangeRaw(app.port, [`GET /sse?token=${await app.token(user)} HTTP/1.1`])
    exchange.stall()
    let isClosed = false
    void exchange.closed.then(() => {
      isClosed = true
    })
    // The cursor is at the end of the last event.
    while (!exchange.tail().includes(':300"}\n\n') && !isClosed) {
      await exchange.step()
      await app.get('/health/live')
    }
    const text = exchange.text()
    const found = [...text.matchAll(/^data: .*"payload":"(\d+) /gm)].map(([, n]) => Number(n))
    expect(found).toEqual(numbers(300))
    exchange.reset()
  }
  for (let n = 0; n < 5; n++) await slowly('cursor', '')
  await slowly('v1')
  await streamSlowly('stream')
  expect(app.lines.filter(({ event }) => event === 'connection.slow_consumer')).toEqual([])
}, 60_000)

/** A peer on a fake socket whose buffered bytes the test sets. */
function peerOn(socket: { buffered: number; readonly pinged: string[] }, clock = createStoppedClock()) {
  const peer = new WebSocketPeer(
    { user: 'u', tenant: 'default', roles: [], expiresAt: Number.POSITIVE_INFINITY },
    { elsewhere: NO_CONNECTIONS, connectRequest: {}, unchecked: false },
    { clock, buffers: { grew: () => {} }, sendBufferBytes: 65_536, end: () => {} },
  )
  const server = {
    data: peer,
    readyState: WebSocket.OPEN,
    getBufferedAmount: () => socket.buffered,
    send: () => -1,
    ping: (payload: string) => socket.pinged.push(payload),
  } as unknown as ServerWebSocket<WebSocketPeer>
  peer.attach(server)
  peer.epoch = 'e'
  return { peer, server }
}

test('the largest notifications are replayed through the smallest buffer', async () => {
  await using app = await startTestApp({ ...LOG_ON, SEND_BUFFER_BYTES: '65536' })
  const users = ['v1', 'cursor', 'sse']
  const largest =
    65_536 - Buffer.byteLength(JSON.stringify({ event_type: 'e', target_user_ids: users, payload: '' }))
  for (const n of numbers(5)) await sendToUsers(app, users, `${n}`.padEnd(largest, ' '))
  using socket = await socketOf(app, 'v1')
  using optedIn = await socketOf(app, 'cursor', { cursor: '' })
  using stream = await streamOf(app, 'sse')
  expect((await socket.take(5)).map(numberOf)).toEqual(numbers(5))
  expect((await optedIn.take(6)).slice(1).map(numberOf)).toEqual(numbers(5))
  expect((await stream.take(6)).slice(1).map(({ data }) => numberOf(data))).toEqual(numbers(5))
  expect(await sendToUsers(app, users, `5`.padEnd(largest, ' '))).toMatchObject({
    delivered_to: 3,
    failed: 0,
  })
  expect(await connections(app)).toBe(3)
})

test('a paced replay continues only when its whole output has left the buffer', async () => {
  const socket = { buffered: 60_000, pinged: [] }
  const { peer, server } = peerOn(socket)
  const handler = webSocketHandler({ sessions: {} as Sessions, sendBufferBytes: 65_536 })
  expect(peer.write(errorFrame('INVALID_MESSAGE', 'x'))).toBe('buffered')
  let goesOn = false
  const drained = awaitedLater(
    peer.drained().then(() => {
      goesOn = true
    }),
  )
  for (socket.buffered = 40_000; socket.buffered > 0; socket.buffered -= 20_000) {
    handler.drain?.(server)
    await new Promise(setImmediate)
    expect(goesOn).toBe(false)
  }
  handler.drain?.(server)
  await drained
})

test('a paced replay continues at the next input when the runtime emptied the buffer without calling `drain`', async () => {
  const socket = { buffered: 60_000, pinged: [] }
  const { peer, server } = peerOn(socket)
  const sessions = { seen: () => {}, message: () => {} } as unknown as Sessions
  const handler = webSocketHandler({ sessions, sendBufferBytes: 65_536 })
  for (const comesIn of [
    () => handler.pong?.(server, Buffer.from('')),
    () => handler.ping?.(server, Buffer.from('')),
    () => handler.message?.(server, 'x'),
    () => peer.unblock(),
  ]) {
    socket.buffered = 60_000
    const drained = peer.drained()
    socket.buffered = 0
    comesIn()
    await drained
  }
})

test('a client that answers only the last of many pings (RFC 6455 §5.5.3) keeps giving receipts', () => {
  const socket = { buffered: 0, pinged: [] as string[] }
  const { peer } = peerOn(socket)
  peer.position = 7
  for (let n = 0; n < 50; n++) peer.beat()
  expect(peer.answered('e:7')?.cursor).toEqual({ epoch: 'e', seq: 7 })
  expect(peer.answered('e:6')).toBeUndefined()
  peer.position = 8
  peer.ask({ epoch: 'e', seq: 8 })
  expect(socket.pinged.at(-1)).toBe('e:8')
  expect(peer.answered('e:8')?.cursor).toEqual({ epoch: 'e', seq: 8 })
})

/** A peer, its socket, and a function that hands it an entry. */
function askedPeer() {
  const clock = createStoppedClock()
  const socket = { buffered: 0, pinged: [] as string[] }
  const { peer } = peerOn(socket, clock)
  const handOver = (seq: number) => {
    peer.position = seq
    peer.ask({ epoch: 'e', seq })
  }
  return { clock, socket, peer, handOver }
}

test('a receipt carries the time of the first write that it proves', () => {
  const { clock, peer, handOver } = askedPeer()
  const moments: number[] = []
  const handOverLater = (seq: number) => {
    moments.push(clock.monotonic())
    handOver(seq)
    clock.jump(1)
  }
  for (const seq of [1, 2, 3]) handOverLater(seq)
  expect(peer.answered('e:1')).toEqual({ cursor: { epoch: 'e', seq: 1 }, handedAt: moments[0] })
  // The second ping covers the other frames; later frames wait for the third.
  handOverLater(4)
  expect(peer.answered('e:3')).toEqual({ cursor: { epoch: 'e', seq: 3 }, handedAt: moments[1] })
  expect(peer.answered('e:4')).toEqual({ cursor: { epoch: 'e', seq: 4 }, handedAt: moments[3] })
  // The ping of a heartbeat proves nothing new.
  peer.beat()
  expect(peer.answered('e:4')).toEqual({ cursor: { epoch: 'e', seq: 4 }, handedAt: undefined })
})

test('the receipt of entries that no ping covered at once carries the time of the first of them', () => {
  const { clock, peer, handOver } = askedPeer()
  for (let seq = 1; seq <= 6; seq++) {
    handOver(seq)
    peer.answered(`e:${seq}`)
  }
  const first = clock.monotonic()
  handOver(7)
  clock.jump(0.1)
  handOver(8)
  clock.jump(0.1)
  peer.unblock()
  expect(peer.answered('e:8')).toEqual({ cursor: { epoch: 'e', seq: 8 }, handedAt: first })
})

test('a client that answers at once is asked at each of six entries, then after 200 ms or 8 entries', () => {
  const { clock, socket, peer, handOver } = askedPeer()
  const seqs = () => socket.pinged.map(payload => Number(payload.slice(2)))
  const handAndAnswer = (seq: number) => {
    handOver(seq)
    peer.answered(`e:${seq}`)
  }
  for (let seq = 1; seq <= 14; seq++) handAndAnswer(seq)
  expect(seqs()).toEqual([1, 2, 3, 4, 5, 6, 14])
  clock.jump(0.199)
  handAndAnswer(15)
  expect(seqs().at(-1)).toBe(14)
  clock.jump(0.001)
  for (const seq of [16, 17]) handAndAnswer(seq)
  expect(seqs().at(-1)).toBe(16)
  clock.jump(2)
  for (let seq = 18; seq <= 24; seq++) handAndAnswer(seq)
  expect(seqs().slice(-6)).toEqual([18, 19, 20, 21, 22, 23])
})

test('a client that is sent nothing more is asked for the receipt of its last entries within the next tick after 200 ms', () => {
  const { clock, socket, peer, handOver } = askedPeer()
  for (let seq = 1; seq <= 100; seq++) {
    handOver(seq)
    peer.answered(`e:${seq}`)
  }
  const before = socket.pinged.length
  clock.jump(0.199)
  peer.unblock()
  expect(socket.pinged.length).toBe(before)
  clock.jump(0.001)
  peer.unblock()
  expect(socket.pinged.slice(before)).toEqual(['e:100'])
  expect(peer.answered('e:100')?.cursor).toEqual({ epoch: 'e', seq: 100 })
  clock.jump(2)
  peer.unblock()
  expect(socket.pinged.length).toBe(before + 1)
})

test('a burst within one turn never cuts a stream or socket that reads, however small its buffer', async () => {
  await using app = await startTestApp({ ...LOG_ON, SEND_BUFFER_BYTES: '65536' })
  using stream = await streamOf(app, 'u')
  using socket = await socketOf(app, 'u')
  await stream.next()
  const [toUser, toAll] = await Promise.all([
    Promise.all(numbers(18).map(n => send(app, 'u', bulk(n, 60_000)))),
    Promise.all(numbers(18).map(n => broadcast(app, bulk(n, 60_000)))),
  ])
  for (const result of [...toUser, ...toAll]) expect(result).toMatchObject({ delivered_to: 2, failed: 0 })
  expect(
    seqs((await stream.take(36)).map(({ data }) => data).filter(({ cursor }) => cursor !== undefined)),
  ).toEqual(numbers(18, 1))
  expect(seqs((await socket.take(36)).filter(({ cursor }) => cursor !== undefined))).toEqual(numbers(18, 1))
  expect(await connections(app)).toBe(2)
}, 20_000)

test('10,000 times: a client receives what is published after it has read `subscribed`', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const clients = await Promise.all(numbers(50).map(() => socketOf(app, 'u')))
  await Promise.all(
    clients.map(async (client, at) => {
      for (const n of numbers(200)) {
        const channel = `c-${at % 10}`
        client.send({ type: 'Subscribe', payload: { channels: [channel] } })
        await client.nextOf('subscribed')
        const mine = `${at} ${n}`
        const { delivered_to } = await publish(app, channel, mine)
        expect(delivered_to).toBeGreaterThanOrEqual(1)
        client.send({ type: 'Unsubscribe', payload: { channels: [channel] } })
        const heard: unknown[] = []
        for (
          let message = await client.next();
          message.type !== 'unsubscribed';
          message = await client.next()
        )
          heard.push(message.payload)
        expect(heard).toContain(mine)
      }
      client.close()
    }),
  )
}, 60_000)

test('sends during connects are not lost, not repeated on a connection, and stay in order', async () => {
  await using app = await startTestApp(LOG_ON)
  await inParallel(150, 15, async at => {
    // At most one device without cursor per user: devices share their receipts.
    const users = ['v1', 'sse', 'cursors'].map(kind => `${kind}-${at}`)
    const [v1 = '', sse = '', cursors = ''] = users
    const sending = awaitedLater(
      (async () => {
        for (const n of numbers(20)) await sendToUsers(app, users, n)
      })(),
    )
    const clients = await Promise.all([
      socketOf(app, v1),
      streamOf(app, sse),
      socketOf(app, cursors, { cursor: '' }),
      streamOf(app, cursors, { cursor: '' }),
    ])
    await sending
    const [socket, stream, socketByCursor, streamByCursor] = clients
    expect(payloads(await socket.take(20))).toEqual(numbers(20))
    expect(payloads((await stream.take(21)).slice(1).map(({ data }) => data))).toEqual(numbers(20))
    for (const [connected, ...messages] of [
      await socketByCursor.take(21),
      (await streamByCursor.take(21)).map(({ data }) => data),
    ]) {
      expect(connected).toMatchObject({ type: 'connected', recovered: true })
      expect(payloads(messages)).toEqual(numbers(20))
      expect(seqs(messages)).toEqual(numbers(20, 1))
    }
    for (const client of clients) client.close()
  })
}, 60_000)

test('clients that reconnect during sends miss nothing by receipts and receive each exactly once by cursor', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '1000' })
  const TOTAL = 400
  await Promise.all(
    numbers(6).map(async at => {
      const user = `u-${at}`
      let isDone = false
      const sending = (async () => {
        for (const n of numbers(TOTAL)) await send(app, user, n)
        isDone = true
      })()
      const byReceipt: number[] = []
      const byCursor: Message[] = []
      const hop = async (cursor: string | undefined, take: (message: Message) => void, most: number) => {
        let left = most
        const client = await rawOf(app, user, {
          ...(cursor !== undefined && { cursor }),
          onFrame: ({ opcode, payload }, self) => {
            const message = opcode === TEXT ? JSON.parse(payload.toString()) : {}
            if (!isNotification(message)) return
            take(message)
            if (--left === 0) self.reset()
          },
        })
        await Promise.race([client.closed, sending])
        client.reset()
        await client.closed
      }
      // The two take turns: devices of a user share their receipts.
      for (let turn = 0; !isDone; turn++) {
        if (at % 2 === 0) await hop(undefined, ({ payload }) => byReceipt.push(payload), 1 + (turn % 13))
        else await hop(byCursor.at(-1)?.cursor ?? '', message => byCursor.push(message), 1 + (turn % 13))
      }
      using last = await socketOf(app, user, at % 2 === 0 ? {} : { cursor: byCursor.at(-1)?.cursor ?? '' })
      const rest = (await settle(last)).filter(isNotification)
      if (at % 2 === 0)
        expect([...new Set([...byReceipt, ...payloads(rest)])].sort((a, b) => a - b)).toEqual(numbers(TOTAL))
      else expect(payloads([...byCursor, ...rest])).toEqual(numbers(TOTAL))
    }),
  )
}, 60_000)

test('publishes and sends keep their order on each of 2,100 sockets in one room', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
  const clients: SocketClient[] = []
  await inParallel(2_100, 50, async n => {
    clients.push(
      await subscribed(await socketOf(app, n % 100 === 0 ? 'some' : 'rest'), [
        'large',
        ...(n % 50 === 0 ? ['small'] : []),
      ]),
    )
  })
  // One caller sends after each answer.
  const expected: string[] = []
  for (const n of numbers(10)) {
    expect(await publish(app, 'large', `large ${n}`)).toMatchObject({ delivered_to: 2_100, failed: 0 })
    expect(await send(app, 'some', `some ${n}`)).toMatchObject({ delivered_to: 21 })
    expect(await publish(app, 'small', `small ${n}`)).toMatchObject({ delivered_to: 42 })
    expect(await broadcast(app, `all ${n}`)).toMatchObject({ delivered_to: 2_100 })
    expected.push(`large ${n}`, `some ${n}`, `small ${n}`, `all ${n}`)
  }
  // Many callers at once: the order is the same on every socket.
  await Promise.all(
    numbers(30).map(n =>
      n % 3 === 0
        ? publish(app, 'small', `s${n}`)
        : n % 3 === 1
          ? publish(app, 'large', `l${n}`)
          : broadcast(app, `b${n}`),
    ),
  )
  const received = await Promise.all(
    clients.map(async client => payloads((await settle(client)).filter(isNotification))),
  )
  const isConcurrent = (payload: string) => /^[slb]\d/.test(payload)
  const [order = []] = received.map(each => each.filter(isConcurrent)).sort((a, b) => b.length - a.length)
  expect(order).toHaveLength(30)
  let some = 0
  let small = 0
  for (const each of received) {
    const first = each.filter(payload => !isConcurrent(payload))
    const hasSome = first.includes('some 0')
    const hasSmall = first.includes('small 0')
    some += hasSome ? 1 : 0
    small += hasSmall ? 1 : 0
    const mine = (payload: string) =>
      (hasSome || !payload.startsWith('some')) && (hasSmall || !payload.startsWith('s'.concat('mall')))
    expect(first).toEqual(expected.filter(mine))
    expect(each.filter(isConcurrent)).toEqual(order.filter(payload => hasSmall || !payload.startsWith('s')))
  }
  expect([some, small]).toEqual([21, 42])
  for (const client of clients) client.close()
  await eventually(async () => (await connections(app)) === 0)
}, 60_000)

test('with appends of random duration, seq rises by one on every device, also during connects', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  console.log(`seed ${seed}`)
  const random = randomOf(seed)
  /** Some turns of the event loop. */
  const dawdle = async () => {
    for (let turns = Math.floor(random() ** 3 * 20); turns > 0; turns--) await new Promise(setImmediate)
  }
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      append: async drafts => {
        await dawdle()
        const appended = await store.log.append(drafts)
        await dawdle()
        return appended
      },
      open: async owner => {
        await dawdle()
        const opened = await store.log.open(owner)
        await dawdle()
        return opened
      },
      read: async (...args) => {
        await dawdle()
        const page = await store.log.read(...args)
        await dawdle()
        return page
      },
    },
  })
  await using app = await startTestApp(
    { ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '2000', WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' },
    { wrapStore },
  )
  const TOTAL = 1_000
  const early = await Promise.all([socketOf(app, 'u'), socketOf(app, 'u', { cursor: '' })])
  const streams = [await streamOf(app, 'u')]
  const late: SocketClient[] = []
  const cursorless: SocketClient[] = []
  await inParallel(TOTAL - 1, 25, async n => {
    await send(app, 'u', n)
    if (n % 100 === 50) {
      late.push(await socketOf(app, 'u', { cursor: '' }))
      cursorless.push(await socketOf(app, 'u'))
      streams.push(await streamOf(app, 'u', { cursor: '' }))
    }
  })
  // A client without a cursor that connected last may have nothing else to receive.
  await send(app, 'u', TOTAL - 1)
  const orders: unknown[][] = []
  for (const client of [...early, ...late]) {
    const messages: Message[] = []
    while (messages.length < TOTAL) messages.push(await client.nextOf('notification'))
    expect(seqs(messages)).toEqual(numbers(TOTAL, 1))
    orders.push(payloads(messages))
  }
  for (const stream of streams) {
    const messages: Message[] = []
    while (messages.length < TOTAL) messages.push((await stream.nextOf('notification')).data)
    expect(seqs(messages)).toEqual(numbers(TOTAL, 1))
    orders.push(payloads(messages))
  }
  for (const client of cursorless) {
    const first = await client.nextOf('notification')
    const messages = [first]
    while (seqs(messages.slice(-1))[0] !== TOTAL) messages.push(await client.nextOf('notification'))
    const [start = 0] = seqs([first])
    expect(seqs(messages)).toEqual(numbers(TOTAL - start + 1, start))
    expect(payloads(messages)).toEqual((orders[0] ?? []).slice(start - 1))
  }
  for (const order of orders) expect(order).toEqual(orders[0] as unknown[])
  expect([...(orders[0] as number[])].sort((a, b) => a - b)).toEqual(numbers(TOTAL))
  for (const client of [...early, ...late, ...cursorless, ...streams]) client.close()
}, 60_000)
