import { expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { StreamClient, StreamEvent } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { exchangeRaw } from '../support/raw-http.ts'
import { broadcast, eventually, rawOf, send, settle, socketOf, streamOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const payloads = (events: readonly StreamEvent[]) => events.map(({ data }) => data.payload)
const numbers = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n)
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

async function leave(app: TestApp, stream: StreamClient): Promise<void> {
  const before = await connections(app)
  stream.close()
  await eventually(async () => (await connections(app)) < before)
}

/** Returns the events up to now; a broadcast marks the end. */
async function settleStream(app: TestApp, stream: StreamClient): Promise<StreamEvent[]> {
  const mark = crypto.randomUUID()
  await broadcast(app, mark)
  const before: StreamEvent[] = []
  for (;;) {
    const event = await stream.next()
    if (event.data.payload === mark) return before
    before.push(event)
  }
}

interface Presented {
  /** `Last-Event-ID`. */
  readonly header?: string
  readonly cursor?: string
}

/** The greeting of a stream and the payloads that follow. */
async function resume(app: TestApp, user: string, { header, cursor }: Presented = {}) {
  using stream = await streamOf(app, user, {
    ...(cursor !== undefined && { cursor }),
    ...(header !== undefined && { headers: { 'last-event-id': header } }),
  })
  const { event, data } = await stream.next()
  expect(event).toBe('connected')
  const events = [...(await stream.take(data.replayed)), ...(await settleStream(app, stream))]
  await leave(app, stream)
  const { recovered, reason, replayed } = data
  return { cursor: data.cursor, recovered, ...(reason && { reason }), replayed, payloads: payloads(events) }
}

async function epochOf(app: TestApp, user: string): Promise<string> {
  return (await resume(app, user)).cursor.split(':')[0]
}

test('the server sends exactly the bytes of the documented SSE example', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(LOG_ON, { clock })
  await sendAll(app, 'u-7', 1, 14)
  const epoch = await epochOf(app, 'u-7')
  using exchange = await exchangeRaw(app.port, [
    `GET /sse?token=${await app.token('u-7')} HTTP/1.1`,
    `Last-Event-ID: ${epoch}:14`,
  ])
  expect(exchange.head).toStartWith('HTTP/1.1 200 OK\r\n')
  expect(exchange.head).toMatch(/^content-type: text\/event-stream$/im)
  expect(exchange.head).toMatch(/^cache-control: no-cache$/im)
  expect(exchange.head).toMatch(/^x-accel-buffering: no$/im)
  expect(exchange.head).toMatch(/^x-request-id: \S+$/im)
  await exchange.until(text => text.includes('event: connected'))
  const { notification_id: id } = await send(app, 'u-7', 15)
  await exchange.until(text => text.includes(`id: ${epoch}:15\n`))
  clock.jump(30)
  const text = await exchange.until(all => all.endsWith('event: heartbeat\ndata: {"type":"heartbeat"}\n\n'))
  const [connected = '', notification = '', heartbeat = '', end] = text
    .replace(/^(: heartbeat\n)*/, '')
    .split('\n\n')
  expect(connected).toMatch(
    new RegExp(
      `^event: connected\ndata: {"type":"connected","connection_id":"[0-9a-f-]{36}","user_id":"u-7","cursor":"${epoch}:14","recovered":true,"replayed":0,"expires_in":\\d+,"heartbeat_seconds":30}$`,
    ),
  )
  expect(notification).toMatch(
    new RegExp(
      `^id: ${epoch}:15\nevent: notification\ndata: {"type":"notification","id":"${id}",.*,"payload":15,.*,"cursor":"${epoch}:15"}$`,
    ),
  )
  expect(heartbeat).toBe('event: heartbeat\ndata: {"type":"heartbeat"}')
  expect(end).toBe('')
})

test('the server sends the headers at once, before the first event', async () => {
  const gate = Promise.withResolvers<void>()
  await using app = await startTestApp(LOG_ON, {
    wrapStore: store => ({
      ...store,
      log: {
        ...store.log,
        open: async owner => {
          await gate.promise
          return store.log.open(owner)
        },
      },
    }),
  })
  using stream = await streamOf(app, 'u')
  expect(stream.response.status).toBe(200)
  gate.resolve()
  expect(await stream.next()).toMatchObject({ event: 'connected' })
})

test('a stream without a cursor starts after the last received entry and is recovered', async () => {
  await using app = await startTestApp(LOG_ON)
  await sendAll(app, 'u', 1, 2)
  using socket = await socketOf(app, 'u')
  await socket.take(2)
  await settle(socket)
  socket.close()
  await socket.closed
  await eventually(async () => (await connections(app)) === 0)
  await sendAll(app, 'u', 3, 4)
  using stream = await streamOf(app, 'u')
  const { data } = await stream.next()
  expect(data).toEqual({
    type: 'connected',
    connection_id: expect.stringMatching(UUID),
    user_id: 'u',
    cursor: expect.stringMatching(/:2$/),
    recovered: true,
    replayed: 2,
    expires_in: expect.any(Number),
    heartbeat_seconds: 30,
  })
  expect(Object.keys(data)).toEqual(
    'type connection_id user_id cursor recovered replayed expires_in heartbeat_seconds'.split(' '),
  )
  const events = await stream.take(2)
  expect(payloads(events)).toEqual([3, 4])
  for (const { id, data: frame } of events) expect(id).toBe(frame.cursor)
})

test('an event on a stream counts as received one heartbeat interval later, not before', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(LOG_ON, { clock })
  await sendAll(app, 'u', 1, 3)
  expect(await resume(app, 'u')).toMatchObject({ replayed: 3, payloads: [1, 2, 3] })
  // Nothing has proved yet that the client read it.
  using stream = await streamOf(app, 'u')
  expect(payloads(await stream.take(4))).toEqual([undefined, 1, 2, 3])
  for (let n = 0; n < 2; n++) {
    clock.jump(30)
    await stream.nextOf('heartbeat')
  }
  await sendAll(app, 'u', 4, 5)
  expect(payloads(await stream.take(2))).toEqual([4, 5])
  await leave(app, stream)
  expect(await resume(app, 'u')).toMatchObject({ recovered: true, replayed: 2, payloads: [4, 5] })
})

for (const name of ['header', 'cursor'] as const) {
  const by = name === 'header' ? 'Last-Event-ID' : '?cursor='

  test(`${by} of the log starts exactly behind it, any other at the oldest entry`, async () => {
    await using app = await startTestApp(LOG_ON)
    const epoch = await epochOf(app, 'u')
    await sendAll(app, 'u', 1, 4)
    for (const n of [4, 0, 2, 3, 1])
      expect(await resume(app, 'u', { [name]: `${epoch}:${n}` })).toEqual({
        cursor: `${epoch}:${n}`,
        recovered: true,
        replayed: 4 - n,
        payloads: numbers(n + 1, 4),
      })
    const strange = [
      'other:2',
      `${epoch}:5`,
      `${epoch}:01`,
      `${epoch}:-1`,
      epoch,
      'x',
      ':',
      `${epoch}:1:1`,
      'e'.repeat(129),
    ]
    for (const place of strange)
      expect([place, await resume(app, 'u', { [name]: place })]).toEqual([
        place,
        {
          cursor: `${epoch}:0`,
          recovered: false,
          reason: 'epoch_changed',
          replayed: 4,
          payloads: [1, 2, 3, 4],
        },
      ])
  })

  test(`${by} before entries that overflow or age removed is trimmed; an elapsed ttl does not count`, async () => {
    const clock = createTestClock()
    await using app = await startTestApp(
      { ...LOG_ON, QUEUE_MAX_SIZE_PER_USER: '3', QUEUE_MESSAGE_TTL_SECONDS: '60' },
      { clock },
    )
    const epoch = await epochOf(app, 'u')
    await sendAll(app, 'u', 1, 4)
    await send(app, 'u', 5, { ttl: 5 })
    expect(await resume(app, 'u', { [name]: `${epoch}:1` })).toMatchObject({
      reason: 'trimmed',
      payloads: [3, 4, 5],
    })
    clock.jump(6)
    expect(await resume(app, 'u', { [name]: `${epoch}:2` })).toMatchObject({
      recovered: true,
      replayed: 2,
      payloads: [3, 4],
    })
    clock.jump(60)
    expect(await resume(app, 'u', { [name]: `${epoch}:3` })).toMatchObject({
      reason: 'trimmed',
      replayed: 0,
      payloads: [],
    })
    expect(await resume(app, 'u', { [name]: `${epoch}:4` })).toMatchObject({
      recovered: true,
      replayed: 0,
      payloads: [],
    })
  })

  test(`${by} from before a restart is answered epoch_changed and the whole new log`, async () => {
    await using before = await startTestApp(LOG_ON)
    await sendAll(before, 'u', 1, 3)
    const epoch = await epochOf(before, 'u')
    await using after = await startTestApp(LOG_ON)
    await sendAll(after, 'u', 4, 8)
    const life = await epochOf(after, 'u')
    expect(life).not.toBe(epoch)
    expect(await resume(after, 'u', { [name]: `${epoch}:3` })).toEqual({
      cursor: `${life}:0`,
      recovered: false,
      reason: 'epoch_changed',
      replayed: 5,
      payloads: [4, 5, 6, 7, 8],
    })
  })
}

test('Last-Event-ID overrides the query, and an empty one counts as absent', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 4)
  const replayed = async (presented: Presented) => (await resume(app, 'u', presented)).payloads
  expect(await replayed({ header: `${epoch}:3`, cursor: `${epoch}:1` })).toEqual([4])
  expect(await replayed({ header: `${epoch}:1`, cursor: '' })).toEqual([2, 3, 4])
  expect(await replayed({ header: `${epoch}:4`, cursor: 'x' })).toEqual([])
  expect(await replayed({ header: '', cursor: `${epoch}:2` })).toEqual([3, 4])
  // Without a cursor a client starts behind what the cursors above proved.
  await sendAll(app, 'u', 5, 6)
  expect(await resume(app, 'u', { header: '' })).toMatchObject({
    cursor: `${epoch}:4`,
    recovered: true,
    payloads: [5, 6],
  })
  expect(await resume(app, 'u', { cursor: '' })).toMatchObject({
    cursor: `${epoch}:0`,
    recovered: true,
    replayed: 6,
  })
  expect(
    (await fetch(`${app.url}/ws?token=${await app.token('u')}`, { headers: { 'last-event-id': 'x' } }))
      .status,
  ).toBe(426)
})

test('an empty Last-Event-ID header counts as absent', async () => {
  await using app = await startTestApp(LOG_ON)
  await sendAll(app, 'u', 1, 1)
  for (const line of ['Last-Event-ID:', 'Last-Event-ID: ', 'last-event-id:']) {
    using exchange = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u')} HTTP/1.1`, line])
    expect(await exchange.until(text => text.includes('"payload":1'))).toContain('"recovered":true')
    exchange.reset()
    await eventually(async () => (await connections(app)) === 0)
  }
})

test('without a log a stream is live only: its events have no id, and only a cursor makes it unrecovered', async () => {
  await using app = await startTestApp()
  await send(app, 'u', 'missed')
  const start = { cursor: null, replayed: 0, payloads: [] }
  expect(await resume(app, 'u')).toEqual({ ...start, recovered: true })
  expect(await resume(app, 'u', { cursor: '' })).toEqual({ ...start, recovered: true })
  expect(await resume(app, 'u', { header: '' })).toEqual({ ...start, recovered: true })
  expect(await resume(app, 'u', { header: 'e:1' })).toEqual({
    ...start,
    recovered: false,
    reason: 'epoch_changed',
  })
  expect(await resume(app, 'u', { cursor: 'x' })).toEqual({
    ...start,
    recovered: false,
    reason: 'epoch_changed',
  })
  using stream = await streamOf(app, 'u')
  await stream.next()
  await send(app, 'u', 'live')
  expect(await stream.next()).toMatchObject({ id: undefined, data: { payload: 'live' } })
})

test('only events from the log have an id: notifications with ttl 0 and broadcasts have none', async () => {
  await using app = await startTestApp(LOG_ON)
  using stream = await streamOf(app, 'u')
  await stream.next()
  await send(app, 'u', 'past the log', { ttl: 0 })
  await broadcast(app, 'to all')
  await send(app, 'u', 'kept')
  expect((await stream.take(3)).map(({ id, data }) => [id, data.cursor, data.payload])).toEqual([
    [undefined, undefined, 'past the log'],
    [undefined, undefined, 'to all'],
    [expect.stringMatching(/:1$/), expect.stringMatching(/:1$/), 'kept'],
  ])
  await leave(app, stream)
  expect(await resume(app, 'u', { cursor: '' })).toMatchObject({ payloads: ['kept'] })
})

test('a notification that expired in the queue is not delivered to a stream', async () => {
  const clock = createTestClock()
  await using app = await startTestApp(LOG_ON, { clock })
  await send(app, 'u', 1, { ttl: 10 })
  await send(app, 'u', 2)
  clock.jump(11)
  expect(await resume(app, 'u')).toMatchObject({ recovered: true, replayed: 1, payloads: [2] })
})

test('each stream and each socket of a user resumes from its own cursor', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 4)
  const [a, b] = await Promise.all([
    streamOf(app, 'u', { cursor: `${epoch}:1` }),
    streamOf(app, 'u', { headers: { 'last-event-id': `${epoch}:3` } }),
  ])
  using socket = await socketOf(app, 'u', { cursor: '' })
  await send(app, 'u', 5)
  expect(payloads((await a.take(5)).slice(1))).toEqual([2, 3, 4, 5])
  expect(payloads((await b.take(3)).slice(1))).toEqual([4, 5])
  expect((await socket.take(6)).slice(1).map(({ payload }) => payload)).toEqual([1, 2, 3, 4, 5])
  a.close()
  b.close()
})

test('a receipt of a socket moves the start of the next stream forward, never back', async () => {
  await using app = await startTestApp(LOG_ON)
  const epoch = await epochOf(app, 'u')
  await sendAll(app, 'u', 1, 3)
  using deaf = await rawOf(app, 'u', { cursor: `${epoch}:1`, answerPings: false })
  await deaf.next()
  expect(await resume(app, 'u')).toMatchObject({ cursor: `${epoch}:1`, payloads: [2, 3] })
  using socket = await socketOf(app, 'u')
  await socket.take(2)
  await settle(socket)
  expect(await resume(app, 'u', { cursor: `${epoch}:2` })).toMatchObject({ payloads: [3] })
  expect(await resume(app, 'u')).toMatchObject({ cursor: `${epoch}:3`, payloads: [] })
})

test('a line break in any value of a caller does not end a line of an event', async () => {
  await using app = await startTestApp(LOG_ON)
  using stream = await streamOf(app, 'u\u2028\u2029')
  using raw = await exchangeRaw(app.port, [`GET /sse?token=${await app.token('u\u2028\u2029')} HTTP/1.1`])
  await stream.next()
  const body =
    '{"target_user_id":"u\\u2028\\u2029","event_type":"a\\u2028b","correlation_id":"c\\u2029d","payload":\r\n{\n"a"\r:\n\t"x\\r\\ny\\u2028\\n\\ndata: z",\r\n\r\n"\\nevent: evil"\n:[\n1\r,\n2]}\r\n}'
  expect((await app.post('/api/v1/notifications/send', body)).status).toBe(200)
  expect(await stream.next()).toMatchObject({
    event: 'notification',
    data: { payload: { a: 'x\r\ny\u2028\n\ndata: z', '\nevent: evil': [1, 2] }, event_type: 'a\u2028b' },
  })
  const text = await raw.until(all => all.includes('event: notification') && all.endsWith('\n\n'))
  const lines = text.split(/\r\n|\r|\n/)
  for (const line of lines)
    expect(line).toMatch(
      /^$|^: heartbeat$|^id: \S+$|^event: (connected|notification|heartbeat)$|^data: \{.*\}$/su,
    )
})
