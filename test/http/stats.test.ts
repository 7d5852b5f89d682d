import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { slowStore } from '../chaos/hopping.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { Message, SocketClient, StreamClient } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { createRandom } from '../support/random.ts'
import { connectRaw } from '../support/raw-socket.ts'
import { sendIn, type Way, waysTo } from '../support/tenants.ts'
import { eventually, settle, socketOf, streamOf } from '../support/visit.ts'

const ON = { QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' }
const AT = '/api/v1/notifications'
const NOTHING = {
  connections: { total_connections: 0, unique_users: 0, channels: {} },
  notifications: {
    total_sent: 0,
    total_delivered: 0,
    total_failed: 0,
    user_notifications: 0,
    broadcast_notifications: 0,
    channel_notifications: 0,
  },
  redis: {
    status: 'disabled',
    connected: false,
    circuit_breaker_state: 'closed',
    circuit_breaker_failures: 0,
    reconnection_attempts: 0,
    total_reconnections: 0,
  },
}

const stats = async (app: TestApp, tenant = 'default') =>
  (await app.get('/stats', { 'x-tenant-id': tenant })).json

/** The counter of `/stats` for each kind of send. */
const kindOf = ({ name }: Way): 'user' | 'broadcast' | 'channel' =>
  /user|\/send$/.test(name) ? 'user' : name.includes('broadcast') ? 'broadcast' : 'channel'

test('/stats of a fresh server has every key at its start value', async () => {
  await using app = await startTestApp()
  expect(await stats(app)).toStrictEqual(NOTHING)
})

test('/stats needs a key and has no other spelling', async () => {
  await using app = await startTestApp()
  expect((await fetch(`${app.url}/stats`)).status).toBe(401)
  expect((await app.post('/stats', {})).status).toBe(405)
  for (const path of ['/api/v1/stats', '/stats/', '/Stats', '/stats/acks'])
    expect([path, (await app.get(path)).status]).toEqual([path, 404])
  const head = await fetch(`${app.url}/stats`, { method: 'HEAD', headers: { 'x-api-key': 'wrong' } })
  expect(head.status).toBe(401)
})

describe('connections', () => {
  test('show the current connections, users and subscribers of the tenant', async () => {
    await using app = await startTestApp(ON)
    const claims = { tenant_id: 'acme' }
    using first = await socketOf(app, 'u', { claims })
    using second = await socketOf(app, 'u', { claims })
    using stream = await streamOf(app, 'v', { claims })
    using other = await socketOf(app, 'u')
    await stream.nextOf('connected')
    for (const [client, channels] of [
      [first, ['a', '__proto__', '1']],
      [second, ['a']],
      [other, ['a', 'z']],
    ] as const) {
      client.send({ type: 'Subscribe', payload: { channels } })
      await client.nextOf('subscribed')
    }
    const { status, text } = await app.get('/stats', { 'x-tenant-id': 'acme' })
    expect(status).toBe(200)
    // Compares text: a parser may treat `__proto__` differently.
    expect(text).toContain('"connections":{"total_connections":3,"unique_users":2,"channels":{')
    for (const pair of ['"a":2', '"__proto__":1', '"1":1']) expect(text).toContain(pair)
    expect(text).not.toContain('"z"')
    expect((await stats(app)).connections).toEqual({
      total_connections: 1,
      unique_users: 1,
      channels: { a: 1, z: 1 },
    })
    for (const client of [first, second]) {
      client.close()
      await client.closed
    }
    expect((await stats(app, 'acme')).connections).toEqual({
      total_connections: 1,
      unique_users: 1,
      channels: {},
    })
    expect((await stats(app, 'globex')).connections).toEqual(NOTHING.connections)
  })

  test('list the thousand largest channels', async () => {
    await using app = await startTestApp({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
    using many = await socketOf(app, 'u')
    using few = await socketOf(app, 'v')
    const channels = Array.from({ length: 1_100 }, (_, n) => `c${n}`)
    many.send({ type: 'Subscribe', payload: { channels: channels.slice(0, 600) } })
    await many.nextOf('subscribed')
    many.send({ type: 'Subscribe', payload: { channels: channels.slice(600) } })
    few.send({ type: 'Subscribe', payload: { channels: channels.slice(600) } })
    for (const client of [many, few]) await client.nextOf('subscribed')
    const named = (await stats(app)).connections.channels
    expect(Object.keys(named)).toHaveLength(1_000)
    expect(Object.values(named).filter(size => size === 2)).toHaveLength(500)
    expect(channels.slice(600).every(channel => named[channel] === 2)).toBe(true)
  })
})

describe('sends are counted', () => {
  test('once per call and batch item, by kind of target, delivered or not', async () => {
    await using app = await startTestApp(ON)
    const ways = waysTo('nobody', 'c')
    for (const way of ways) await sendIn(app, 'acme', way, 1)
    const { notifications } = await stats(app, 'acme')
    expect(notifications).toEqual({
      total_sent: 10,
      total_delivered: 0,
      total_failed: 0,
      user_notifications: 4,
      broadcast_notifications: 2,
      channel_notifications: 4,
    })
    expect((await stats(app)).notifications).toEqual(NOTHING.notifications)
    expect(app.app.stats.tally.find('acme').sent).toEqual({
      user: 2,
      users: 2,
      broadcast: 2,
      channel: 2,
      channels: 2,
    })
  })

  test('once for many users, for none, and for a ttl of 0', async () => {
    await using app = await startTestApp(ON)
    const content = { event_type: 'e', payload: 1 }
    for (const [path, body] of [
      ['send-to-users', { ...content, target_user_ids: ['a', 'b', 'c'] }],
      ['send-to-users', { ...content, target_user_ids: [] }],
      ['channels', { ...content, channels: [] }],
      ['send', { ...content, target_user_id: 'a', ttl: 0 }],
    ] as const)
      expect((await app.post(`${AT}/${path}`, body)).status).toBe(200)
    expect((await stats(app)).notifications).toMatchObject({ total_sent: 4, user_notifications: 3 })
  })

  test('not if they are rejected, skipped or refused by the store', async () => {
    let isAway = false
    await using app = await startTestApp(
      { QUEUE_ENABLED: 'true' },
      {
        wrapStore: store => ({
          ...store,
          log: {
            ...store.log,
            append: drafts => (isAway ? Promise.reject(new StoreAway('away')) : store.log.append(drafts)),
          },
        }),
      },
    )
    const content = { event_type: 'e', payload: 1 }
    const item = { ...content, target: { type: 'user', value: 'u' } }
    expect((await app.post(`${AT}/send`, { ...content, target_user_id: 5 })).status).toBe(422)
    expect(
      (await app.post(`${AT}/send`, { ...content, target_user_id: 'u' }, { 'x-api-key': 'x' })).status,
    ).toBe(401)
    const batch = {
      notifications: [item, item, { ...item, payload: 'x'.repeat(70_000) }],
      options: { deduplicate: true },
    }
    expect((await app.post(`${AT}/batch`, batch)).json.summary).toMatchObject({ succeeded: 1, skipped: 2 })
    isAway = true
    expect((await app.post(`${AT}/send`, { ...content, target_user_id: 'u' })).status).toBe(503)
    expect((await app.post(`${AT}/batch`, { notifications: [item] })).status).toBe(503)
    const mixed = { notifications: [item, { ...content, target: { type: 'broadcast' } }] }
    expect((await app.post(`${AT}/batch`, mixed)).status).toBe(200)
    expect((await stats(app)).notifications).toMatchObject({
      total_sent: 2,
      user_notifications: 1,
      broadcast_notifications: 1,
    })
  })
})

const USERS = ['u0', 'u1', 'u2']
const LAST = 'the last one'

/** A tenant with its clients, its sends and their answers. */
interface Side {
  readonly tenant: string
  readonly sockets: SocketClient[]
  readonly streams: StreamClient[]
  readonly sent: Record<'user' | 'broadcast' | 'channel', number>
  answered: number
}

const sideOf = (tenant: string): Side => ({
  tenant,
  sockets: [],
  streams: [],
  sent: { user: 0, broadcast: 0, channel: 0 },
  answered: 0,
})

const way = (path: string, target: object): Way => ({
  name: path,
  path: AT + path,
  body: payload => ({ event_type: 'e', ...target, payload }),
})

const waysToMany = [
  way('/channels', { channels: ['d', 'c', 'd', 'e'] }),
  way('/send-to-users', { target_user_ids: [...USERS, 'u0'] }),
]

async function sendTo(app: TestApp, side: Side, by: Way, payload: string): Promise<void> {
  side.sent[kindOf(by)]++
  side.answered += (await sendIn(app, side.tenant, by, payload)).delivered_to
}

const notificationsOf = (client: SocketClient): readonly Message[] =>
  client.inbox.all.filter(({ type }) => type === 'notification')
const eventsOf = (stream: StreamClient): readonly Message[] =>
  stream.inbox.all.flatMap(({ event, data }) => (event === 'notification' ? [data] : []))

/** All frames that its clients received, after the last one arrived. */
async function readIn(app: TestApp, side: Side): Promise<number> {
  const all = () => [...side.sockets.map(notificationsOf), ...side.streams.map(eventsOf)]
  const allHave = (count: number) => (): boolean =>
    all().every(messages => messages.filter(({ payload }) => payload === LAST).length === count)
  // A log arrives in order, and so do broadcasts: the last one proves the rest.
  await sendTo(app, side, way('/send-to-users', { target_user_ids: USERS }), LAST)
  await eventually(allHave(1))
  await sendTo(app, side, way('/broadcast', {}), LAST)
  await eventually(allHave(2))
  return all().reduce((sum, { length }) => sum + length, 0)
}

describe('delivered counts exactly the frames that clients received', () => {
  for (const seed of [1, 2, 3, 4])
    test(`live, replayed, to channels, to an audience and to streams, in two tenants (seed ${seed})`, async () => {
      const random = createRandom(seed)
      const pick = (n: number): number => random.whole(0, n - 1)
      const unlimited = {
        WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
        TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER: '0',
      }
      const wrapStore = slowStore(createRandom(seed))
      await using app = await startTestApp({ ...ON, ...unlimited }, { wrapStore })

      const connect = async ({ tenant, sockets, streams }: Side): Promise<void> => {
        const user = `u${pick(3)}`
        const claims = { tenant_id: tenant, roles: pick(2) === 0 ? ['admin'] : [] }
        const visit = { claims, ...(pick(2) === 0 && { cursor: '' }) }
        const channels = ['c', 'd', 'e'].slice(pick(3))
        if (pick(3) === 0) {
          streams.push(await streamOf(app, user, visit))
          return
        }
        const socket = await socketOf(app, user, visit)
        sockets.push(socket)
        socket.send({ type: 'Subscribe', payload: { channels } })
      }

      const send = async (side: Side): Promise<void> => {
        const ways = [...waysTo(`u${pick(3)}`, 'c', { type: 'Roles', value: ['admin'] }), ...waysToMany]
        const by = ways[pick(ways.length)]
        if (by !== undefined) await sendTo(app, side, by, 'x'.repeat(pick(2_000)))
      }

      // Appends take a random time: they overlap with connects and replays.
      const [acme, globex] = [sideOf('acme'), sideOf('globex')]
      for (let round = 0; round < 12; round++)
        await Promise.all(
          Array.from({ length: 12 }, () => {
            const side = pick(2) === 0 ? acme : globex
            return pick(6) === 0 ? connect(side) : send(side)
          }),
        )

      const { tally } = app.app.stats
      let [all, opened] = [0, 0]
      for (const side of [acme, globex]) {
        const { tenant, sent } = side
        const read = await readIn(app, side)
        all += read
        opened += side.sockets.length + side.streams.length
        // No answer counts frames of a replay.
        expect(read).toBeGreaterThan(side.answered)
        expect({ tenant, ...(await stats(app, tenant)).notifications }).toEqual({
          tenant,
          total_sent: sent.user + sent.broadcast + sent.channel,
          total_delivered: read,
          total_failed: 0,
          user_notifications: sent.user,
          broadcast_notifications: sent.broadcast,
          channel_notifications: sent.channel,
        })
        expect(tally.find(tenant).opened).toBe(side.sockets.length + side.streams.length)
        for (const client of [...side.sockets, ...side.streams]) client.close()
      }
      expect(tally.total()).toMatchObject({ delivered: all, failed: 0, opened })
    }, 30_000)

  for (const [path, body] of [
    ['send', { target_user_id: 'slow' }],
    ['channel', { channel: 'c' }],
    ['channels', { channels: ['c', 'd'] }],
  ] as const)
    for (const QUEUE_ENABLED of ['true', 'false'])
      test(`a client that is disconnected because it stopped reading counts as failed: /${path}, QUEUE_ENABLED=${QUEUE_ENABLED}`, async () => {
        await using app = await startTestApp({ QUEUE_ENABLED, SEND_BUFFER_BYTES: '65536' })
        using slow = await connectRaw(app.port, `/ws?token=${await app.token('slow')}`)
        using good = await socketOf(app, 'good')
        slow.send(1, '{"type":"Subscribe","payload":{"channels":["c"]}}')
        await slow.next()
        good.send({ type: 'Subscribe', payload: { channels: ['c'] } })
        await good.nextOf('subscribed')
        slow.stall()
        const answered = { sent: 0, delivered: 0, failed: 0 }
        while (answered.failed === 0 && answered.sent < 1_000) {
          const content = { event_type: 'e', payload: 'x'.repeat(60_000) }
          const { json } = await app.post(`${AT}/${path}`, { ...content, ...body })
          answered.sent++
          answered.delivered += json.delivered_to
          answered.failed += json.failed
        }
        await settle(good)
        expect(notificationsOf(good)).toHaveLength(path === 'send' ? 0 : answered.sent)
        expect((await stats(app)).notifications).toMatchObject({
          total_sent: answered.sent,
          total_delivered: answered.delivered,
          total_failed: 1,
        })
        expect(app.app.stats.slowConsumers).toBe(1)
        expect(app.app.stats.closes[1006]).toBe(1)
      }, 30_000)
})

describe('acknowledgements', () => {
  const ACK = { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true', WEBSOCKET_CONNECTION_TIMEOUT: '3600' }
  const NONE = {
    enabled: true,
    total_tracked: 0,
    total_acked: 0,
    total_expired: 0,
    pending_count: 0,
    ack_rate: 1,
    avg_latency_ms: 0,
  }

  test('appear if they are enabled, and redelivered frames are counted again', async () => {
    const clock = createTestClock()
    await using app = await startTestApp(
      { ...ACK, TENANT_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '10', ACK_MAX_DELIVERIES: '2' },
      { clock },
    )
    expect((await stats(app, 'acme')).ack).toEqual(NONE)
    using client = await socketOf(app, 'u', { claims: { tenant_id: 'acme' } })
    const [own] = waysTo('u', 'c')
    if (own === undefined) throw new Error('no way')
    const ids: string[] = []
    for (const payload of [1, 2, 3]) ids.push((await sendIn(app, 'acme', own, payload)).notification_id)
    clock.jump(1)
    client.send({ type: 'Ack', payload: { notification_id: ids[0] } })
    await client.nextOf('acked')
    const { ack } = await stats(app, 'acme')
    expect(ack).toEqual({
      ...NONE,
      total_tracked: 3,
      total_acked: 1,
      pending_count: 2,
      avg_latency_ms: expect.any(Number),
    })
    expect(ack.avg_latency_ms).toBeWithin(999, 5_000)
    clock.jump(10)
    const again = [await client.nextOf('notification'), await client.nextOf('notification')]
    expect(again.map(({ redelivered }) => redelivered)).toEqual([1, 1])
    expect((await stats(app, 'acme')).notifications).toMatchObject({
      total_sent: 3,
      total_delivered: notificationsOf(client).length,
    })
    expect(notificationsOf(client)).toHaveLength(5)
    clock.jump(11)
    await eventually(async () => (await stats(app, 'acme')).ack.total_expired === 2)
    expect((await stats(app, 'acme')).ack).toMatchObject({ pending_count: 0, ack_rate: 1 / 3 })
    expect((await stats(app)).ack).toEqual(NONE)
  })
})

describe('closed connections are counted by close code', () => {
  test('each once: every opened connection is open or closed', async () => {
    await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '4' })
    const { closes, tally } = app.app.stats
    const clients = await Promise.all(Array.from({ length: 4 }, () => socketOf(app, 'u')))
    const over = await socketOf(app, 'u')
    expect(await over.closed).toMatchObject({ code: 1013 })
    const [first, second, third, fourth] = clients
    first?.close()
    await first?.closed
    second?.sendRaw(Buffer.alloc(70_000))
    await second?.closed
    third?.send({ type: 'Auth', payload: { token: await app.token('other') } })
    await third?.closed
    using stream = await streamOf(app, 'u')
    await app.post('/api/v1/users/u/disconnect', {})
    await Promise.all([fourth?.closed, stream.closed])
    using open = await socketOf(app, 'u')
    await settle(open)
    await eventually(() => Object.values(closes).reduce((sum, count) => sum + count, 0) === 6)
    expect(Object.entries(closes).filter(([, count]) => count > 0)).toEqual([
      ['1000', 1],
      ['1009', 1],
      ['1013', 1],
      ['4401', 1],
      ['4403', 1],
      ['sse', 1],
    ])
    expect(tally.total().opened).toBe(6)
    expect((await app.get('/health')).json.connections.total).toBe(1)
  })

  const frame = (code: number) => Buffer.from([code >> 8, code & 255])
  for (const [what, opcode, payload, counted] of [
    ['a client that goes', 8, frame(1001), '1001'],
    ['a client that closes without a code', 8, Buffer.alloc(0), '1000'],
    ['a code of the client’s own', 8, frame(4000), 'other'],
    ['one of ours that the client says', 8, frame(4401), '4401'],
    ['text that is not UTF-8', 1, Buffer.from([0xff]), '1007'],
    ['an opcode that is none', 3, Buffer.from('x'), '1002'],
    ['a code that is none', 8, frame(1005), '1002'],
    ['a message that is too long', 1, Buffer.alloc(65_537, 'x'), '1009'],
  ] as const)
    test(`${what} as ${counted}`, async () => {
      await using app = await startTestApp()
      using client = await connectRaw(app.port, `/ws?token=${await app.token('u')}`)
      client.send(opcode, payload)
      await client.closed
      const { closes } = app.app.stats
      await eventually(() => Object.values(closes).some(count => count > 0))
      expect(Object.entries(closes).filter(([, count]) => count > 0)).toEqual([[counted, 1]])
    })

  test('a broken connection as 1006', async () => {
    await using app = await startTestApp()
    using client = await connectRaw(app.port, `/ws?token=${await app.token('u')}`)
    client.reset()
    await eventually(() => app.app.stats.closes[1006] === 1)
    expect(app.app.stats.slowConsumers).toBe(0)
  })
})
