import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { refusalOf, streamAt } from '../support/channel-visits.ts'
import { startPair } from '../support/cluster.ts'
import { broadcast, eventually, publish, send, streamOf } from '../support/visit.ts'

const LOG_ON = { QUEUE_ENABLED: 'true' }
const PATHS = ['/sse', '/ws']

test('a stream receives the channels of its address, told in `connected`, from then on', async () => {
  await using app = await startTestApp(LOG_ON)
  using stream = await streamAt(app, { channels: 'orders,état.1,orders' })
  const { event, data } = await stream.next()
  expect({ event, channels: data.channels }).toEqual({ event: 'connected', channels: ['orders', 'état.1'] })
  expect(await publish(app, 'orders', 1)).toMatchObject({ delivered_to: 1, status: 'delivered' })
  await publish(app, 'état.1', 2)
  await publish(app, 'other', 3)
  await send(app, 'u', 4)
  await broadcast(app, 5)
  const events = await stream.take(4)
  expect(events.map(each => each.data.payload)).toEqual([1, 2, 4, 5])
  expect(events.map(each => each.id !== undefined)).toEqual([false, false, true, false])
})

test('channels of a stream count like those of a WebSocket, and end with it', async () => {
  await using app = await startTestApp()
  const stream = await streamAt(app, { channels: 'a,b' })
  await stream.next()
  expect((await app.get('/api/v1/users/u/subscriptions')).json).toMatchObject({ subscriptions: ['a', 'b'] })
  expect((await app.get('/api/v1/channels')).json).toMatchObject({ total_channels: 2 })
  stream.close()
  await eventually(async () => (await app.get('/api/v1/channels')).json.total_channels === 0)
})

test('a stream without the parameter has no channels, and with an empty one none', async () => {
  await using app = await startTestApp()
  using plain = await streamOf(app, 'u')
  expect((await plain.next()).data).not.toHaveProperty('channels')
  using empty = await streamAt(app, { channels: '' })
  expect((await empty.next()).data.channels).toEqual([])
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 0 })
})

test('a resumed stream joins its channels before `connected`, which a replay follows', async () => {
  await using app = await startTestApp(LOG_ON)
  for (const n of [1, 2, 3]) await send(app, 'u', n)
  using stream = await streamAt(app, { channels: 'a', cursor: '' })
  expect((await stream.next()).data).toMatchObject({ replayed: 3, channels: ['a'] })
  await publish(app, 'a', 'live')
  const payloads = (await stream.take(4)).map(({ data }) => data.payload)
  expect(payloads.filter(Number.isInteger)).toEqual([1, 2, 3])
  expect(payloads).toContain('live')
})

test.each(PATHS)(
  '%s rejects bad names with 400 and their places, before it looks at the token',
  async path => {
    await using app = await startTestApp()
    const { status, error } = await refusalOf(
      app,
      `${path}?channels=a,x%20y,,${'n'.repeat(65)},..`,
      undefined,
    )
    expect({ status, code: error.code }).toEqual({ status: 400, code: 'VALIDATION_ERROR' })
    expect(error.details.map(({ path: place }: { path: string }) => place)).toEqual([
      'channels[1]',
      'channels[2]',
      'channels[3]',
      'channels[4]',
    ])
    expect(JSON.stringify(error)).not.toContain('x y')
  },
)

test.each(PATHS)('%s rejects a repeated or broken parameter with 400', async path => {
  await using app = await startTestApp()
  const token = await app.token('u')
  for (const query of ['channels=a&channels=b', 'channels=a&channels=', 'channels=%E0%A4%A', 'channels=%ff'])
    expect(await refusalOf(app, `${path}?${query}`, token)).toMatchObject({
      status: 400,
      error: { code: 'VALIDATION_ERROR' },
    })
})

test.each(PATHS)('%s accepts as many channels as the limit, and rejects one more with 400', async path => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '2' })
  expect(await refusalOf(app, `${path}?channels=a,b,c`, undefined)).toEqual({
    status: 400,
    error: {
      code: 'VALIDATION_ERROR',
      message: 'channels[2]: expected at most 2 channels (got 3)',
      details: [{ path: 'channels[2]', message: 'expected at most 2 channels (got 3)' }],
    },
  })
  using stream = await streamAt(app, { channels: 'a,b,a' })
  expect((await stream.next()).data.channels).toEqual(['a', 'b'])
})

test.each(PATHS)('%s obeys the smaller limit of the tenant', async path => {
  await using app = await startTestApp({
    TENANT_ENABLED: 'true',
    TENANT_OVERRIDES: JSON.stringify({ acme: { max_subscriptions_per_connection: 1 } }),
  })
  const acme = await app.token('u', { tenant_id: 'acme' })
  expect(await refusalOf(app, `${path}?channels=a,b`, acme)).toMatchObject({
    status: 400,
    error: { details: [{ path: 'channels[1]', message: 'expected at most 1 channels (got 2)' }] },
  })
  using other = await streamAt(app, { channels: 'a,b' }, { tenant_id: 'globex' })
  expect((await other.next()).data.channels).toEqual(['a', 'b'])
})

test.each(PATHS)(
  '%s rejects channels that the token does not allow with 403 and their places',
  async path => {
    await using app = await startTestApp()
    const token = await app.token('u', { channels: ['orders', 'room.*'] })
    expect(await refusalOf(app, `${path}?channels=orders,secret,room.1,Orders`, token)).toMatchObject({
      status: 403,
      error: {
        code: 'FORBIDDEN',
        details: [
          { path: 'channels[1]', message: 'the token does not allow this channel' },
          { path: 'channels[3]', message: 'the token does not allow this channel' },
        ],
      },
    })
    expect(await refusalOf(app, `${path}?channels=secret`, 'x')).toMatchObject({ status: 401 })
    using stream = await streamAt(app, { channels: 'orders,room.1' }, { channels: ['orders', 'room.*'] })
    expect((await stream.next()).data.channels).toEqual(['orders', 'room.1'])
  },
)

test('with CHANNEL_ACCESS=claims a token without the claim allows no channel', async () => {
  await using app = await startTestApp({ CHANNEL_ACCESS: 'claims' })
  expect(await refusalOf(app, '/sse?channels=a', await app.token('u'))).toMatchObject({ status: 403 })
  using stream = await streamAt(app, { channels: '' })
  expect((await stream.next()).event).toBe('connected')
})

test('a rejected attempt counts as refused for its token and opens no connection', async () => {
  await using app = await startTestApp()
  const before = app.app.stats.connectionsRefused.token
  await refusalOf(app, '/sse?channels=secret', await app.token('u', { channels: [] }))
  expect(app.app.stats.connectionsRefused.token).toBe(before + 1)
  expect((await app.get('/health')).json.connections.total).toBe(0)
})

test('a stream receives its channels from every node as soon as it has read `connected`', async () => {
  await using pair = await startPair(LOG_ON)
  const [here, there] = pair.nodes
  for (let round = 0; round < 20; round++) {
    using stream = await streamAt(here, { channels: `c${round},all` })
    expect((await stream.next()).data.channels).toEqual([`c${round}`, 'all'])
    expect(await publish(there, `c${round}`, round)).toMatchObject({ delivered_to: 1 })
    expect((await stream.next()).data.payload).toBe(round)
  }
})
