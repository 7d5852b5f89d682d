import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import type { LogStart, Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { broadcast, eventually, rawOf, send, settle, socketOf, streamOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const PONG = 10

const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload)
const numbers = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n)
const seqOf = ({ cursor }: Message) => Number(cursor.split(':')[1])
const connections = async (app: TestApp): Promise<number> => (await app.get('/health')).json.connections.total

async function sendAll(
  app: TestApp,
  user: string,
  from: number,
  to: number,
  more: object = {},
): Promise<void> {
  for (let n = from; n <= to; n++) await send(app, user, n, more)
}

/** Closes the client and waits until the service has noticed. */
async function leave(app: TestApp, client: SocketClient): Promise<void> {
  const before = await connections(app)
  client.close()
  await client.closed
  await eventually(async () => (await connections(app)) < before)
}

/** Epoch of the user's log, which an empty log has too. */
async function epochOf(app: TestApp, user: string): Promise<string> {
  using client = await socketOf(app, user, { cursor: '' })
  const { cursor } = await client.nextOf('connected')
  await leave(app, client)
  return cursor.split(':')[0]
}

/** The greeting of an opted-in client and the payloads that follow. */
async function resume(app: TestApp, user: string, cursor: string) {
  using client = await socketOf(app, user, { cursor })
  const connected = await client.next()
  const messages = [...(await client.take(connected.replayed)), ...(await settle(client))]
  const { recovered, reason, replayed } = connected
  await leave(app, client)
  return {
    cursor: connected.cursor,
    recovered,
    ...(reason && { reason }),
    replayed,
    payloads: payloads(messages),
  }
}

/** First payloads of a client without cursor; with `reads` they count as received. */
async function visit(app: TestApp, user: string, count: number): Promise<unknown[]> {
  using client = await socketOf(app, user)
  const messages = [...(await client.take(count)), ...(await settle(client))]
  await leave(app, client)
  return payloads(messages)
}

/** A log whose method waits for the gate. */
function gated(method: 'open' | 'read', gate: Promise<void>) {
  return (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      [method]: async (...args: [never, never, never]) => {
        await gate
        return store.log[method](...args)
      },
    },
  })
}

test('two missed notifications follow the greeting, as documented', async () => {
  await using app = await startTestApp(LOG_ON)
  await sendAll(app, 'u-7', 1, 12)
  using first = await socketOf(app, 'u-7', { cursor: '' })
  await first.next()
  const { cursor } = (await first.take(12)).at(-1)
  const [epoch] = cursor.split(':')
  await leave(app, first)
  await sendAll(app, 'u-7', 13, 14)

  using again = await socketOf(app, 'u-7', { cursor })
  const [connected, ...missed] = await again.take(3)
  expect(connected).toEqual({
    type: 'connected',
    connection_id: expect.stringMatching(UUID),
    user_id: 'u-7',
    cursor: `${epoch}:12`,
    recovered: true,
    replayed: 2,
    expires_in: expect.any(Number),
    heartbeat_seconds: 30,
  })
  expect(Object.keys(connected)).toEqual(
    'type connection_id user_id cursor recovered replayed expires_in heartbeat_seconds'.split(' '),
  )
  expect(connected.expires_in).toBeWithin(3_590, 3_601)
  expect(missed).toMatchObject([
    { type: 'notification', payload: 13, cursor: `${epoch}:13` },
    { type: 'notification', payload: 14, cursor: `${epoch}:14` },
  ])
  await send(app, 'u-7', 15)
  expect(await again.next()).toMatchObject({ payload: 15, cursor: `${epoch}:15` })

  // After the log was lost: another process.
  await using restarted = await startTestApp(LOG_ON)
  await send(restarted, 'u-7', 'new')
  using stranger = await socketOf(restarted, 'u-7', { cursor })
  const greeting = await stranger.next()
  expect(greeting).toEqual({
    type: 'connected',
    connection_id: expect.stringMatching(UUID),
    user_id: 'u-7',
    cursor: expect.stringMatching(/^[A-Za-z0-9_-]{1,32}:0$/),
    recovered: false,
    reason: 'epoch_changed',
    replayed: 1,
    expires_in: expect.any(Number),
    heartbeat_seconds: 30,
  })
  expect(greeting.cursor).not.toStartWith(epoch)
  expect(await stranger.next()).toMatchObject({ payload: 'new', cursor: greeting.cursor.replace(/0$/, '1') })
})

test('a client without cursor gets no greeting: its first message is a notification', async () => {
  await using app = await startTestApp(LOG_ON)
  using client = await socketOf(app, 'u')
  expect(await settle(client)).toEqual([])
  await send(app, 'u', 1)
  expect(await client.next()).toMatchObject({ type: 'notification', payload: 1, cursor: expect.any(String) })
})

test('a client without cursor starts after the last entry that any device of its user has received', async () => {
  await using app = await startTestApp(LOG_ON)
  await sendAll(app, 'u', 1, 3)
  expect(await visit(app, 'u', 3)).toEqual([1, 2, 3])
  expect(await visit(app, 'u', 0)).toEqual([])
  await sendAll(app, 'u', 4, 5)
  expect(await visit(app, 'u', 2)).toEqual([4, 5])

  // Receipts of one device count for the other.
  using reading = await socketOf(app, 'u')
  using deaf = await rawOf(app, 'u', { answerPings: false })
  await sendAll(app, 'u', 6, 8)
  await reading.take(3)
  await settle(reading)
  await leave(app, reading)
  deaf.reset()
  await eventually(async () => (await connections(app)) === 0)
  await send(app, 'u', 9)
  expect(await visit(app, 'u', 1)).toEqual([9])
})

test('entries without a receipt are replayed with the same id', async () => {
  await using app = await startTestApp(LOG_ON)
  using client = await rawOf(app, 'u', { answerPings: false })
  await sendAll(app, 'u', 1, 2)
  const seen = [await client.next(), await client.next()]
  const [epoch] = seen[0].cursor.split(':')
  // Unsolicited pongs.
  for (const payload of ['', `${epoch}:0`, `${epoch}:2`, `${epoch}:3`, 'x', `${epoch}:99`])
    client.send(PONG, payload)
  client.send(1, '{"type":"Ping"}')
  await client.next()
  client.reset()
  await eventually(async () => (await connections(app)) === 0)
  using again = await socketOf(app, 'u')
  expect(await again.take(2)).toEqual(seen)
})

test('a presented cursor counts as a receipt for everything up to it', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 5)
  using client = await rawOf(app, 'u', { cursor: `${epoch}:3`, answerPings: false })
  await client.next()
  client.reset()
  await eventually(async () => (await connections(app)) === 0)
  expect(await visit(app, 'u', 2)).toEqual([4, 5])
})

test('a cursor beyond the head or of another epoch is no receipt', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 2)
  for (const cursor of [`${epoch}:3`, `${epoch}:2000`, 'other:1']) {
    using client = await rawOf(app, 'u', { cursor, answerPings: false })
    await client.next()
    client.reset()
    await eventually(async () => (await connections(app)) === 0)
  }
  expect(await visit(app, 'u', 2)).toEqual([1, 2])
})

test('an empty cursor starts at the oldest retained entry and is recovered', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  const start = { cursor: `${epoch}:0`, recovered: true }
  expect(await resume(app, 'u', '')).toEqual({ ...start, replayed: 0, payloads: [] })
  await sendAll(app, 'u', 1, 3)
  for (let n = 0; n < 2; n++)
    expect(await resume(app, 'u', '')).toEqual({ ...start, replayed: 3, payloads: [1, 2, 3] })
})

test('a connection with a cursor of the log starts exactly after it, whatever the receipts', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 6)
  for (const n of [6, 0, 3, 1, 5, 2, 4, 0])
    expect(await resume(app, 'u', `${epoch}:${n}`)).toEqual({
      cursor: `${epoch}:${n}`,
      recovered: true,
      replayed: 6 - n,
      payloads: numbers(n + 1, 6),
    })
})

test('an invalid cursor starts at the oldest retained entry and is never rejected', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 3)
  const cursors = [
    'other:2',
    `${epoch}:4`,
    `${epoch}:9007199254740991`,
    `${epoch}:9007199254740993`,
    `${epoch}:99999999999999999999`,
    epoch,
    `${epoch}:`,
    `${epoch}:-1`,
    `${epoch}:1.5`,
    `${epoch}:01`,
    `${epoch}:+1`,
    `${epoch}: 1`,
    `${epoch}:1 `,
    `${epoch}:1\n`,
    `${epoch}:1:2`,
    `${epoch}:1e0`,
    `${epoch}:٣`,
    `${epoch.toLowerCase()}X:1`,
    ':',
    ':1',
    'x',
    'null',
    ' ',
    'é:1',
    '🎉',
    '"><script>',
    `${'e'.repeat(33)}:1`,
    `${epoch}:${'0'.repeat(130)}1`,
    'x'.repeat(5_000),
  ]
  for (const cursor of cursors)
    expect([cursor, await resume(app, 'u', cursor)]).toEqual([
      cursor,
      { cursor: `${epoch}:0`, recovered: false, reason: 'epoch_changed', replayed: 3, payloads: [1, 2, 3] },
    ])
})

test('a cursor of a known earlier epoch starts after the last entry that both epochs share', async () => {
  const bases = [
    { epoch: 'first', seq: 4 },
    { epoch: 'second', seq: 3 },
  ]
  const wrapStore = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      open: async (owner): Promise<LogStart> => ({ ...(await store.log.open(owner)), bases }),
    },
  })
  await using app = await startTestApp(LOG_ON, { wrapStore })
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 5)
  for (const [cursor, start] of [
    ['first:1', 1],
    ['first:4', 3],
    ['first:9', 3],
    ['second:2', 2],
    ['second:3', 3],
    ['second:5', 3],
    ['third:5', 0],
  ] as const)
    expect([cursor, await resume(app, 'u', cursor)]).toEqual([
      cursor,
      {
        cursor: `${epoch}:${start}`,
        recovered: false,
        reason: 'epoch_changed',
        replayed: 5 - start,
        payloads: numbers(start + 1, 5),
      },
    ])
})

test('overflow after the cursor is reported as trimmed, overflow before it is not', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '3' })
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 6)
  const rest = { replayed: 3, payloads: [4, 5, 6] }
  for (const n of [0, 1, 2])
    expect(await resume(app, 'u', `${epoch}:${n}`)).toMatchObject({
      recovered: false,
      reason: 'trimmed',
      ...rest,
    })
  expect(await resume(app, 'u', `${epoch}:3`)).toEqual({ cursor: `${epoch}:3`, recovered: true, ...rest })
  expect(await resume(app, 'u', `${epoch}:4`)).toEqual({
    cursor: `${epoch}:4`,
    recovered: true,
    replayed: 2,
    payloads: [5, 6],
  })
  expect(await resume(app, 'u', '')).toMatchObject({ recovered: false, reason: 'trimmed', ...rest })
})

describe('a connection with an empty cursor is not recovered', () => {
  const OVERFLOW = { ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '3' }

  test('when overflow removed entries that no device had received, over WebSocket, SSE and in the listing', async () => {
    await using app = await startTestApp(OVERFLOW)
    await sendAll(app, 'u', 1, 4)
    const TRIMMED = { recovered: false, reason: 'trimmed' }
    expect(await resume(app, 'u', '')).toMatchObject({ ...TRIMMED, replayed: 3, payloads: [2, 3, 4] })
    using stream = await streamOf(app, 'u', { cursor: '' })
    expect((await stream.nextOf('connected')).data).toMatchObject({ ...TRIMMED, replayed: 3 })
    expect((await app.get('/api/v1/users/u/notifications')).json).toMatchObject(TRIMMED)
  })

  test('but is recovered when a device had received them before', async () => {
    await using app = await startTestApp(OVERFLOW)
    await sendAll(app, 'u', 1, 3)
    expect(await visit(app, 'u', 3)).toEqual([1, 2, 3])
    await sendAll(app, 'u', 4, 5)
    expect(await resume(app, 'u', '')).toMatchObject({ recovered: true, replayed: 3, payloads: [3, 4, 5] })
    expect((await app.get('/api/v1/users/u/notifications')).json.recovered).toBe(true)
  })

  test('when retention age removed an entry, but not when its own ttl did', async () => {
    const clock = createTestClock()
    await using app = await startTestApp({ ...LOG_ON, QUEUE_MESSAGE_TTL_SECONDS: '60' }, { clock })
    await send(app, 'brief', 1, { ttl: 10 })
    await send(app, 'old', 1)
    clock.jump(61)
    expect(await resume(app, 'brief', '')).toMatchObject({ recovered: true, payloads: [] })
    expect(await resume(app, 'old', '')).toMatchObject({ recovered: false, reason: 'trimmed', payloads: [] })
  })
})

test('the eviction of a low-priority entry is reported as trimmed to clients behind it only', async () => {
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '3' })
  const epoch = await epochOf(app, 'u')
  await send(app, 'u', 1)
  await send(app, 'u', 2, { priority: 'Low' })
  await sendAll(app, 'u', 3, 4)
  expect(await resume(app, 'u', `${epoch}:1`)).toMatchObject({
    reason: 'trimmed',
    replayed: 2,
    payloads: [3, 4],
  })
  expect(await resume(app, 'u', `${epoch}:2`)).toMatchObject({
    recovered: true,
    replayed: 2,
    payloads: [3, 4],
  })
})

test('removal by retention age is reported as trimmed; a cursor at the head never goes stale', async () => {
  const clock = createTestClock()
  await using app = await startTestApp({ ...LOG_ON, QUEUE_MESSAGE_TTL_SECONDS: '60' }, { clock })
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 2, { ttl: 600 })
  clock.jump(40)
  await send(app, 'u', 3)
  clock.jump(30)
  expect(await resume(app, 'u', `${epoch}:1`)).toMatchObject({
    reason: 'trimmed',
    replayed: 1,
    payloads: [3],
  })
  expect(await resume(app, 'u', `${epoch}:2`)).toMatchObject({ recovered: true, replayed: 1, payloads: [3] })
  clock.jump(300)
  expect(await resume(app, 'u', `${epoch}:2`)).toMatchObject({ reason: 'trimmed', replayed: 0, payloads: [] })
  expect(await resume(app, 'u', `${epoch}:3`)).toEqual({
    cursor: `${epoch}:3`,
    recovered: true,
    replayed: 0,
    payloads: [],
  })
  expect(await visit(app, 'u', 0)).toEqual([])
  using client = await socketOf(app, 'u', { cursor: `${epoch}:3` })
  await send(app, 'u', 4)
  expect((await client.take(2))[1]).toMatchObject({ payload: 4, cursor: `${epoch}:4` })
})

test('an entry with an elapsed ttl is skipped: not delivered, not counted, and still recovered', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(LOG_ON, { clock })
  const epoch = await epochOf(app, 'u')
  await send(app, 'u', 1)
  await send(app, 'u', 2, { ttl: 5 })
  await send(app, 'u', 3)
  await send(app, 'u', 4, { ttl: 5 })
  expect(await resume(app, 'u', `${epoch}:0`)).toMatchObject({ replayed: 4 })
  clock.jump(6)
  expect(await resume(app, 'u', `${epoch}:0`)).toEqual({
    cursor: `${epoch}:0`,
    recovered: true,
    replayed: 2,
    payloads: [1, 3],
  })
  expect(await resume(app, 'u', `${epoch}:3`)).toMatchObject({ recovered: true, replayed: 0, payloads: [] })
  using client = await socketOf(app, 'u', { cursor: `${epoch}:3` })
  await client.next()
  await send(app, 'u', 5)
  expect(await client.next()).toMatchObject({ payload: 5, cursor: `${epoch}:5` })
})

test('A notification whose `ttl` passed while queued is not delivered: to clients without cursor either.', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(LOG_ON, { clock })
  expect(await send(app, 'u', 1, { ttl: 10 })).toMatchObject({ queued: 1, status: 'queued' })
  expect(await send(app, 'u', 2)).toMatchObject({ queued: 1, status: 'queued' })
  clock.jump(9)
  using early = await rawOf(app, 'u', { answerPings: false })
  expect(payloads([await early.next(), await early.next()])).toEqual([1, 2])
  early.reset()
  await eventually(async () => (await connections(app)) === 0)
  clock.jump(2)
  expect(await visit(app, 'u', 1)).toEqual([2])
})

test('a notification with ttl 0 reaches live clients without a cursor and is never kept', async () => {
  await using app = await startTestApp(LOG_ON)
  expect(await send(app, 'u', 'away', { ttl: 0 })).toMatchObject({
    success: false,
    delivered_to: 0,
    queued: 0,
    status: 'no_recipient',
  })
  using client = await socketOf(app, 'u', { cursor: '' })
  expect(await client.next()).toMatchObject({ cursor: expect.stringMatching(/:0$/), replayed: 0 })
  expect(await send(app, 'u', 'live', { ttl: 0 })).toMatchObject({
    delivered_to: 1,
    queued: 0,
    status: 'delivered',
  })
  const live = await client.next()
  expect(live).toMatchObject({ payload: 'live', metadata: { ttl: 0 } })
  expect(live).not.toHaveProperty('cursor')
  await send(app, 'u', 'kept')
  expect(seqOf(await client.next())).toBe(1)
  await leave(app, client)
  expect(await resume(app, 'u', '')).toMatchObject({ replayed: 1, payloads: ['kept'] })
})

test('without a log a cursor starts live only: an empty one is recovered, any other is not', async () => {
  await using app = await startTestApp()
  await send(app, 'u', 'missed')
  expect(await resume(app, 'u', '')).toEqual({ cursor: null, recovered: true, replayed: 0, payloads: [] })
  for (const cursor of ['k3f9:12', 'x', 'x'.repeat(200)])
    expect(await resume(app, 'u', cursor)).toEqual({
      cursor: null,
      recovered: false,
      reason: 'epoch_changed',
      replayed: 0,
      payloads: [],
    })
  expect(await visit(app, 'u', 0)).toEqual([])
  using client = await socketOf(app, 'u', { cursor: 'k3f9:12' })
  await send(app, 'u', 'live')
  const [connected, live] = await client.take(2)
  expect(Object.keys(connected)).toEqual(
    'type connection_id user_id cursor recovered reason replayed expires_in heartbeat_seconds'.split(' '),
  )
  expect(live).toMatchObject({ payload: 'live' })
  expect(live).not.toHaveProperty('cursor')
})

test('each device resumes from its own cursor', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 4)
  const [a, b, c] = await Promise.all(
    [`${epoch}:1`, `${epoch}:3`, ''].map(cursor => socketOf(app, 'u', { cursor })),
  )
  await sendAll(app, 'u', 5, 6)
  expect(payloads((await a?.take(6)) ?? []).slice(1)).toEqual([2, 3, 4, 5, 6])
  expect(payloads((await b?.take(4)) ?? []).slice(1)).toEqual([4, 5, 6])
  expect(payloads((await c?.take(7)) ?? []).slice(1)).toEqual([1, 2, 3, 4, 5, 6])
})

test('two devices without cursor that connect at the same time both receive everything due', async () => {
  const gate = Promise.withResolvers<void>()
  const opened = { count: 0, lateGate: Promise.withResolvers<void>() }
  await using app = await startTestApp(LOG_ON, {
    wrapStore: store => ({
      ...store,
      log: {
        ...store.log,
        // The second start is read after the first device has received everything.
        open: async owner => {
          await (opened.count++ === 0 ? gate.promise : opened.lateGate.promise)
          return store.log.open(owner)
        },
      },
    }),
  })
  await sendAll(app, 'u', 1, 3)
  using first = await socketOf(app, 'u')
  using second = await socketOf(app, 'u')
  await eventually(() => opened.count === 2)
  gate.resolve()
  expect(payloads(await first.take(3))).toEqual([1, 2, 3])
  expect(await settle(first)).toEqual([])
  opened.lateGate.resolve()
  expect(payloads(await second.take(3))).toEqual([1, 2, 3])
  await settle(second)
  await leave(app, second)
  await leave(app, first)
  expect(await visit(app, 'u', 0)).toEqual([])
})

test('a notification accepted during the replay counts as queued and arrives in order', async () => {
  const gate = Promise.withResolvers<void>()
  await using app = await startTestApp(LOG_ON, { wrapStore: gated('read', gate.promise) })
  await sendAll(app, 'u', 1, 3)
  using v1 = await socketOf(app, 'u')
  using optedIn = await socketOf(app, 'u', { cursor: '' })
  using stream = await streamOf(app, 'u')
  expect(await optedIn.next()).toMatchObject({ type: 'connected', replayed: 3 })
  for (let n = 4; n <= 6; n++)
    expect(await send(app, 'u', n)).toMatchObject({
      success: true,
      delivered_to: 0,
      queued: 1,
      status: 'queued',
    })
  expect(await send(app, 'u', 'now', { ttl: 0 })).toMatchObject({ delivered_to: 0, queued: 0 })
  // Crowd frames and replies do not wait for the replay.
  expect(await broadcast(app, 'all')).toMatchObject({ delivered_to: 3 })
  expect(payloads(await settle(v1))).toEqual(['all'])
  expect(payloads(await settle(optedIn))).toEqual(['all'])
  gate.resolve()
  expect(payloads(await v1.take(6))).toEqual(numbers(1, 6))
  expect(payloads(await optedIn.take(6))).toEqual(numbers(1, 6))
  expect((await stream.take(8)).slice(2).map(({ data }) => data.payload)).toEqual(numbers(1, 6))
  expect(await send(app, 'u', 7)).toMatchObject({ delivered_to: 3, queued: 0, status: 'delivered' })
})

test('an opted-in client receives crowd notifications only after its greeting, one without cursor at once', async () => {
  const gate = Promise.withResolvers<void>()
  await using app = await startTestApp(LOG_ON, { wrapStore: gated('open', gate.promise) })
  await send(app, 'u', 1)
  using v1 = await socketOf(app, 'u')
  using optedIn = await socketOf(app, 'u', { cursor: '' })
  await eventually(async () => (await connections(app)) === 2)
  expect(await broadcast(app, 'all')).toMatchObject({ delivered_to: 1, failed: 0 })
  expect(payloads(await settle(v1))).toEqual(['all'])
  gate.resolve()
  expect(await optedIn.next()).toMatchObject({ type: 'connected' })
  expect(payloads([await optedIn.next(), await v1.next()])).toEqual([1, 1])
})

test('during an outage of the store a connect is accepted; greeting and replay follow when it answers', async () => {
  let isAway = false
  const failing = (store: Store): Store => ({
    ...store,
    log: {
      ...store.log,
      open: async owner => {
        if (isAway) throw new StoreAway('away')
        return store.log.open(owner)
      },
      read: async (...args) => {
        if (isAway) throw new StoreAway('away')
        return store.log.read(...args)
      },
    },
  })
  await using app = await startTestApp(LOG_ON, { wrapStore: failing })
  await sendAll(app, 'u', 1, 3)
  isAway = true
  using v1 = await socketOf(app, 'u')
  using optedIn = await socketOf(app, 'u', { cursor: '' })
  await eventually(() => app.lines.filter(({ event }) => event === 'store.unavailable').length >= 2)
  expect(await settle(v1)).toEqual([])
  expect(optedIn.inbox.all).toEqual([])
  isAway = false
  expect(payloads(await v1.take(3))).toEqual([1, 2, 3])
  expect(await optedIn.next()).toMatchObject({ type: 'connected', replayed: 3 })
  expect(payloads(await optedIn.take(3))).toEqual([1, 2, 3])
})

test('an opted-in client is cut when overflow removes entries of its replay, and gets trimmed when it reconnects', async () => {
  const gate = Promise.withResolvers<void>()
  await using app = await startTestApp(
    { ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '3' },
    { wrapStore: gated('read', gate.promise) },
  )
  await sendAll(app, 'u', 1, 3)
  using v1 = await socketOf(app, 'u')
  using optedIn = await socketOf(app, 'u', { cursor: '' })
  const { cursor } = await optedIn.next()
  await sendAll(app, 'u', 4, 5)
  gate.resolve()
  expect(payloads(await v1.take(3))).toEqual([3, 4, 5])
  expect(await optedIn.closed).toMatchObject({ code: 1006 })
  expect(payloads(optedIn.inbox.all.slice(1))).toEqual([])
  expect(await resume(app, 'u', cursor)).toMatchObject({
    reason: 'trimmed',
    replayed: 3,
    payloads: [3, 4, 5],
  })
})

test("a cursor is compared with the log of the token's own user only", async () => {
  await using app = await startTestApp(LOG_ON)
  await sendAll(app, 'a', 1, 5)
  using client = await socketOf(app, 'a', { cursor: '' })
  const { cursor } = (await client.take(6)).at(-1)
  await send(app, 'b', 'of b')
  expect(await resume(app, 'b', cursor)).toMatchObject({ recovered: false, replayed: 1, payloads: ['of b'] })
})
