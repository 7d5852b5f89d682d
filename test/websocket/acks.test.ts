import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import type { Store } from '../../src/store/store.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { createStoppedClock } from '../support/clock.ts'
import {
  broadcast,
  eventually,
  publish,
  send,
  sendToUsers,
  settle,
  socketOf,
  streamOf,
} from '../support/visit.ts'

const ACK_ON = { ACK_ENABLED: 'true', QUEUE_ENABLED: 'true' }
const STRANGE = '11111111-1111-4111-8111-111111111111'

const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload)
const stateOf = async (app: TestApp, id: string) =>
  (await app.get(`/api/v1/notifications/${id}`)).json.recipients.map(
    ({ state, attempts }: Message) => `${state} ${attempts}`,
  )

/** Waits for the pong behind a delivery and for background work of redelivery. */
const reaches = (app: TestApp, id: string, state: string): Promise<void> =>
  eventually(async () => (await stateOf(app, id))[0] === state)

/** A service whose clock only the test advances. */
async function start(env: Environment = {}) {
  const clock = createStoppedClock()
  const app = await startTestApp({ ...ACK_ON, ...env }, { clock })
  return { app, clock, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() }
}

function ack(client: SocketClient, payload: object): Promise<Message> {
  client.send({ type: 'Ack', payload })
  return client.inbox.until(({ type }) => type === 'acked' || type === 'error')
}

async function leave(app: TestApp, client: SocketClient): Promise<void> {
  const open = async () => (await app.get('/health')).json.connections.total
  const before = await open()
  client.close()
  await client.closed
  await eventually(async () => (await open()) < before)
}

describe('an acknowledgement', () => {
  test('by id is answered in any form, also when repeated, and settles the state', async () => {
    await using service = await start()
    const { app } = service
    const client = await socketOf(app, 'u')
    await send(app, 'u', 1)
    const { id } = await client.next()
    await reaches(app, id, 'received 1')
    for (const form of [id, id.toUpperCase(), id.replaceAll('-', ''), `{${id}}`, `urn:uuid:${id}`])
      expect(await ack(client, { notification_id: form })).toEqual({ type: 'acked', notification_id: id })
    expect(await stateOf(app, id)).toEqual(['acked 1'])
  })

  test('of an unknown id, of an id of another user, or of no UUID is rejected', async () => {
    await using service = await start()
    const { app } = service
    const [ann, bob] = [await socketOf(app, 'ann'), await socketOf(app, 'bob')]
    await send(app, 'ann', 1)
    const { id } = await ann.next()
    for (const [client, of] of [
      [ann, STRANGE],
      [bob, id],
    ] as const)
      expect(await ack(client, { notification_id: of })).toMatchObject({ type: 'error', code: 'INVALID_ACK' })
    expect(await ack(bob, { notification_id: 'x' })).toMatchObject({ code: 'INVALID_MESSAGE' })
    await reaches(app, id, 'received 1')
  })

  test('Two devices of a user ack the same notification: both get `acked`.', async () => {
    await using service = await start()
    const { app } = service
    const devices = [await socketOf(app, 'u'), await socketOf(app, 'u')]
    await send(app, 'u', 1)
    const ids = await Promise.all(devices.map(async device => (await device.next()).id))
    expect(new Set(ids).size).toBe(1)
    const answers = await Promise.all(devices.map(device => ack(device, { notification_id: ids[0] })))
    expect(answers).toEqual(Array(2).fill({ type: 'acked', notification_id: ids[0] }))
  })

  test('Users A and B both ack one multi-user notification: both get `acked`; C gets `INVALID_ACK`.', async () => {
    await using service = await start()
    const { app } = service
    const [a, b, c] = [await socketOf(app, 'a'), await socketOf(app, 'b'), await socketOf(app, 'c')]
    const { notification_id } = await sendToUsers(app, ['a', 'b'], 1)
    expect(await ack(a, { notification_id })).toEqual({ type: 'acked', notification_id })
    expect(await ack(b, { notification_id })).toEqual({ type: 'acked', notification_id })
    expect(await ack(c, { notification_id })).toMatchObject({ code: 'INVALID_ACK' })
    expect(await stateOf(app, notification_id)).toEqual(['acked 1', 'acked 1'])
  })

  test('An ack that arrives before the send call has returned is accepted.', async () => {
    const held = Promise.withResolvers<void>()
    const wrapStore = (store: Store): Store => ({
      ...store,
      log: {
        ...store.log,
        // The second item of the batch is appended late: its caller waits until then.
        append: async drafts => {
          if (drafts.some(({ owner }) => owner.endsWith(':late'))) await held.promise
          return store.log.append(drafts)
        },
      },
    })
    await using app = await startTestApp(ACK_ON, { wrapStore })
    const client = await socketOf(app, 'u')
    let hasReturned = false
    const item = (value: string) => ({ target: { type: 'user', value }, event_type: 'e', payload: 1 })
    const call = awaitedLater(
      app.post('/api/v1/notifications/batch', { notifications: [item('u'), item('late')] }).finally(() => {
        hasReturned = true
      }),
    )
    const { id } = await client.next()
    expect(await ack(client, { notification_id: id })).toEqual({ type: 'acked', notification_id: id })
    expect(hasReturned).toBe(false)
    held.resolve()
    expect((await call).json.results[0]).toMatchObject({ notification_id: id, status: 'delivered' })
    expect(await stateOf(app, id)).toEqual(['acked 1'])
  })

  test('An ack of a replayed notification is accepted.', async () => {
    await using service = await start()
    const { app } = service
    for (const n of [1, 2, 3]) await send(app, 'u', n)
    const first = await socketOf(app, 'u')
    const [, second] = await first.take(3)
    await ack(first, { notification_id: second.id })
    await leave(app, first)
    const again = await socketOf(app, 'u')
    expect(payloads(await again.take(2))).toEqual([1, 3])
    expect(await settle(again)).toEqual([])
    expect(await stateOf(app, second.id)).toEqual(['acked 1'])
  })

  test('by cursor settles everything up to it; a malformed, foreign or future cursor is rejected', async () => {
    await using service = await start()
    const { app } = service
    const client = await socketOf(app, 'u')
    for (const n of [1, 2, 3]) await send(app, 'u', n)
    const [, second, third] = await client.take(3)
    expect(await ack(client, { cursor: second.cursor })).toEqual({ type: 'acked', cursor: second.cursor })
    const [epoch] = third.cursor.split(':')
    for (const cursor of ['other:1', `${epoch}:4`, 'nonsense', ''])
      expect([cursor, await ack(client, { cursor })]).toMatchObject([cursor, { code: 'INVALID_ACK' }])
    await leave(app, client)
    const again = await socketOf(app, 'u')
    expect(payloads(await again.take(1))).toEqual([3])
    expect(await settle(again)).toEqual([])
  })

  test('gets no answer when acknowledgement is off; a malformed one gets an error', async () => {
    await using app = await startTestApp({ QUEUE_ENABLED: 'true' })
    const client = await socketOf(app, 'u')
    client.send({ type: 'Ack', payload: { notification_id: STRANGE } })
    client.send({ type: 'Ack', payload: { cursor: 'x' } })
    expect(await settle(client)).toEqual([])
    client.send({ type: 'Ack', payload: { notification_id: 'x' } })
    expect(await client.next()).toMatchObject({ type: 'error', code: 'INVALID_MESSAGE' })
  })

  test('of a crowd notification is answered to its receivers for ACK_TIMEOUT_SECONDS', async () => {
    await using service = await start({ ACK_CLEANUP_INTERVAL_SECONDS: '1', ACK_TIMEOUT_SECONDS: '30' })
    const { app, clock } = service
    const [member, other] = [await socketOf(app, 'member'), await socketOf(app, 'other')]
    member.send({ type: 'Subscribe', payload: { channels: ['c'] } })
    await member.nextOf('subscribed')
    const { notification_id } = await publish(app, 'c', 1)
    const all = await broadcast(app, 2)
    expect(await ack(member, { notification_id })).toEqual({ type: 'acked', notification_id })
    expect(await ack(member, { notification_id })).toEqual({ type: 'acked', notification_id })
    expect(await ack(other, { notification_id })).toMatchObject({ code: 'INVALID_ACK' })
    const { notification_id: id } = all
    expect(await ack(other, { notification_id: id })).toEqual({ type: 'acked', notification_id: id })
    clock.jump(31)
    await eventually(async () => (await ack(member, { notification_id: id })).type === 'error')
    expect((await app.get(`/api/v1/notifications/${id}`)).status).toBe(404)
  })

  test('of a notification with ttl 0 is answered, and the log stays empty', async () => {
    await using service = await start()
    const { app } = service
    const client = await socketOf(app, 'u')
    const { notification_id } = await send(app, 'u', 1, { ttl: 0 })
    expect(await ack(client, { notification_id })).toEqual({ type: 'acked', notification_id })
    expect((await app.get(`/api/v1/notifications/${notification_id}`)).status).toBe(404)
  })
})

describe('a notification without acknowledgement', () => {
  test('is redelivered after ACK_TIMEOUT_SECONDS, up to ACK_MAX_DELIVERIES deliveries, then expires', async () => {
    await using service = await start()
    const { app, clock } = service
    const client = await socketOf(app, 'u')
    const stream = await streamOf(app, 'u')
    await send(app, 'u', 'late')
    const first = await client.next()
    const { type, id, cursor, payload } = first
    clock.jump(29.9)
    expect(await settle(client)).toEqual([])
    for (const redelivered of [1, 2]) {
      clock.jump(30.001)
      const again = await client.nextOf('notification')
      expect(again).toEqual({ ...first, redelivered })
      expect(Object.keys(again).at(-1)).toBe('redelivered')
    }
    await reaches(app, id, 'received 3')
    clock.jump(30.1)
    await reaches(app, id, 'expired 3')
    expect(await ack(client, { notification_id: id })).toEqual({
      type: 'acked',
      notification_id: id,
      late: true,
    })
    expect(await stateOf(app, id)).toEqual(['expired 3'])
    // Streams receive no redeliveries.
    await send(app, 'u', 'next')
    expect((await stream.nextOf('notification')).data).toMatchObject({ type, cursor, payload })
    expect((await stream.nextOf('notification')).data.payload).toBe('next')
    expect(payloads(await settle(client)).at(-1)).toBe('next')
  })

  test('is not redelivered to a user who acknowledged it on any device', async () => {
    await using service = await start()
    const { app, clock } = service
    const [one, two] = [await socketOf(app, 'u'), await socketOf(app, 'u')]
    await send(app, 'u', 'settled')
    await send(app, 'u', 'open')
    const [settled] = await two.take(2)
    await one.take(2)
    await ack(one, { notification_id: settled.id })
    clock.jump(31)
    for (const client of [one, two]) expect((await client.nextOf('notification')).payload).toBe('open')
    for (const client of [one, two]) expect(await settle(client)).toEqual([])
  })

  test('waits while its user has no live WebSocket; a replay counts as a delivery', async () => {
    await using service = await start()
    const { app, clock } = service
    const client = await socketOf(app, 'u')
    const { notification_id: id } = await send(app, 'u', 1)
    await client.next()
    clock.jump(20)
    await leave(app, client)
    clock.jump(600)
    await reaches(app, id, 'received 1')
    const back = await socketOf(app, 'u')
    expect((await back.next()).redelivered).toBeUndefined()
    await reaches(app, id, 'received 2')
    clock.jump(29)
    expect(await settle(back)).toEqual([])
    clock.jump(2)
    expect((await back.nextOf('notification')).redelivered).toBe(1)
    await reaches(app, id, 'received 3')
  })

  test('is replayed to a client whose cursor is older', async () => {
    await using service = await start()
    const { app, clock } = service
    const client = await socketOf(app, 'u', { cursor: '' })
    await client.nextOf('connected')
    await send(app, 'u', 1)
    const { cursor } = await client.next()
    await leave(app, client)
    const back = await socketOf(app, 'u', { cursor })
    expect(await back.next()).toMatchObject({ type: 'connected', cursor, replayed: 0 })
    clock.jump(61)
    expect(await back.nextOf('notification')).toMatchObject({ cursor, redelivered: 1 })
  })

  test('times out by connected time only, which stops when the last connection closes', async () => {
    await using service = await start()
    const { app, clock } = service
    const client = await socketOf(app, 'u', { cursor: '' })
    await client.nextOf('connected')
    await send(app, 'u', 1)
    const { cursor } = await client.next()
    clock.jump(20)
    await leave(app, client)
    clock.jump(600)
    const back = await socketOf(app, 'u', { cursor })
    await back.nextOf('connected')
    clock.jump(9)
    expect(await settle(back)).toEqual([])
    clock.jump(1)
    expect(await back.nextOf('notification')).toMatchObject({ cursor, redelivered: 1 })
  })

  test('is replayed to a client without cursor after it was given up, until a late acknowledgement', async () => {
    await using service = await start({ ACK_MAX_DELIVERIES: '1' })
    const { app, clock } = service
    const client = await socketOf(app, 'u')
    const { notification_id } = await send(app, 'u', 1)
    await client.next()
    clock.jump(31)
    await eventually(async () => (await stateOf(app, notification_id))[0].startsWith('expired'))
    await leave(app, client)
    const back = await socketOf(app, 'u')
    expect((await back.next()).id).toBe(notification_id)
    expect(await ack(back, { notification_id })).toMatchObject({ type: 'acked', late: true })
    await leave(app, back)
    const third = await socketOf(app, 'u')
    expect(await settle(third)).toEqual([])
  })

  test('is not redelivered after its ttl', async () => {
    await using service = await start()
    const { app, clock } = service
    const client = await socketOf(app, 'u')
    const { notification_id } = await send(app, 'u', 1, { ttl: 10 })
    await client.next()
    clock.jump(31)
    await eventually(async () => (await stateOf(app, notification_id))[0] === 'expired 1')
    expect(await settle(client)).toEqual([])
  })
})

describe('with ACK on and QUEUE off', () => {
  test('the log keeps nothing for a user without a connection', async () => {
    await using service = await start({ QUEUE_ENABLED: 'false' })
    const { app } = service
    const answer = await sendToUsers(app, ['u', 'v'], 1)
    expect(answer).toMatchObject({ success: false, delivered_to: 0, queued: 0, status: 'no_recipient' })
    const client = await socketOf(app, 'u')
    expect(await settle(client)).toEqual([])
  })

  test('a delivered notification is tracked, replayed and redelivered until it is acknowledged', async () => {
    await using service = await start({ QUEUE_ENABLED: 'false' })
    const { app, clock } = service
    const client = await socketOf(app, 'u')
    expect(await sendToUsers(app, ['u', 'v'], 1)).toMatchObject({
      status: 'partial',
      delivered_to: 1,
      queued: 0,
    })
    await client.next()
    await leave(app, client)
    const back = await socketOf(app, 'u')
    const { id } = await back.next()
    clock.jump(31)
    expect((await back.nextOf('notification')).redelivered).toBe(1)
    expect(await ack(back, { notification_id: id })).toEqual({ type: 'acked', notification_id: id })
    await leave(app, back)
    expect(await settle(await socketOf(app, 'u'))).toEqual([])
  })
})
