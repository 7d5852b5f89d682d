import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { socketAt } from '../support/channel-visits.ts'
import { startPair } from '../support/cluster.ts'
import { publish, send, settle } from '../support/visit.ts'

test('a WebSocket reads `subscribed` with the channels of its address first, and receives them from then on', async () => {
  await using app = await startTestApp()
  using socket = await socketAt(app, { channels: 'b,a,b' })
  expect(await socket.next()).toEqual({ type: 'subscribed', payload: ['b', 'a'] })
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 1 })
  expect(await socket.next()).toMatchObject({ type: 'notification', payload: 1 })
})

test('with a cursor `connected` comes first, without channels, then `subscribed`, then the replay', async () => {
  await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
  await send(app, 'u', 1)
  using socket = await socketAt(app, { channels: 'a', cursor: '' })
  const [connected, subscribed, notification] = await socket.take(3)
  expect(connected).toMatchObject({ type: 'connected', replayed: 1 })
  expect(connected).not.toHaveProperty('channels')
  expect(subscribed).toEqual({ type: 'subscribed', payload: ['a'] })
  expect(notification).toMatchObject({ type: 'notification', payload: 1 })
})

test('an empty parameter subscribes to nothing and is not answered', async () => {
  await using app = await startTestApp()
  using socket = await socketAt(app, { channels: '' })
  expect(await settle(socket)).toEqual([])
})

test('channels of the address count against the limit of later messages, and can be left', async () => {
  await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '2' })
  using socket = await socketAt(app, { channels: 'a,b' })
  await socket.next()
  socket.send({ type: 'Subscribe', payload: { channels: ['c'] } })
  expect(await socket.next()).toMatchObject({ type: 'error', code: 'SUBSCRIPTION_ERROR' })
  socket.send({ type: 'Unsubscribe', payload: { channels: ['a'] } })
  expect(await socket.next()).toEqual({ type: 'unsubscribed', payload: ['a'] })
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 0 })
  expect(await publish(app, 'b', 2)).toMatchObject({ delivered_to: 1 })
})

test('a new token that does not allow a channel of the address ends it with `unsubscribed`', async () => {
  await using app = await startTestApp()
  using socket = await socketAt(app, { channels: 'a,b' })
  await socket.next()
  socket.send({ type: 'Auth', payload: { token: await app.token('u', { channels: ['b'] }) } })
  expect(await socket.next()).toMatchObject({ type: 'authenticated' })
  expect(await socket.next()).toEqual({ type: 'unsubscribed', payload: ['a'] })
  expect(await publish(app, 'a', 1)).toMatchObject({ delivered_to: 0 })
})

test.each([{}, { cursor: '' }])(
  'messages that a client sends at once are handled after the channels of its address, over two nodes (%j)',
  async cursor => {
    await using pair = await startPair({ QUEUE_ENABLED: 'true' })
    const [here, there] = pair.nodes
    for (let round = 0; round < 20; round++) {
      using socket = await socketAt(here, { ...cursor, channels: `c${round},d${round}` })
      socket.send({ type: 'Unsubscribe', payload: { channels: [`d${round}`] } })
      const told = await socket.take('cursor' in cursor ? 3 : 2)
      expect(told.slice(-2)).toEqual([
        { type: 'subscribed', payload: [`c${round}`, `d${round}`] },
        { type: 'unsubscribed', payload: [`d${round}`] },
      ])
      expect(await publish(there, `c${round}`, round)).toMatchObject({ delivered_to: 1 })
      expect(await publish(there, `d${round}`, round)).toMatchObject({ delivered_to: 0 })
      expect(await socket.next()).toMatchObject({ type: 'notification', payload: round })
    }
  },
)
