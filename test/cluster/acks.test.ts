import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { startPair, untilJoined } from '../support/cluster.ts'
import { scrape } from '../support/metrics.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { broadcast, eventually, send, settle, socketOf } from '../support/visit.ts'

const ACK = { QUEUE_ENABLED: 'true', ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '1' }
const TIMEOUT_MS = 30_000

/** Acknowledges a notification that may have been redelivered meanwhile. */
async function ackAnyway(client: SocketClient, id: string): Promise<void> {
  client.send({ type: 'Ack', payload: { notification_id: id } })
  expect(await client.nextOf('acked')).toMatchObject({ notification_id: id })
}

const ack = async (client: SocketClient, id: string): Promise<Message> => {
  client.send({ type: 'Ack', payload: { notification_id: id } })
  return client.next()
}

const reportOf = async (app: TestApp, id: string): Promise<Message> =>
  (await app.get(`/api/v1/notifications/${id}`)).json.recipients[0]

const acksOf = async (app: TestApp): Promise<Message> => (await app.get('/stats')).json.ack

/** Opens a WebSocket that has received its `connected`. */
async function open(app: TestApp, user: string, cursor = ''): Promise<SocketClient> {
  const client = await socketOf(app, user, { cursor })
  await client.nextOf('connected')
  return client
}

describe('Two nodes with acknowledgement', () => {
  test(
    'accept an acknowledgement on another node than the one that delivered',
    async () => {
      await using pair = await startPair({ ...ACK, ACK_TIMEOUT_SECONDS: '3600' })
      const [a, b] = pair.nodes
      using first = await open(a, 'u')
      const { notification_id: id } = await send(b, 'u', 1)
      expect(await first.next()).toMatchObject({ id })
      using second = await open(b, 'u')
      expect(await second.next()).toMatchObject({ id })
      const acked = { type: 'acked', notification_id: id }
      expect(await ack(second, id)).toEqual(acked)
      expect(await ack(first, id)).toEqual(acked)
      expect(await reportOf(a, id)).toMatchObject({ state: 'acked' })
      for (const node of pair.nodes)
        expect(await acksOf(node)).toMatchObject({ total_tracked: 1, total_acked: 1, pending_count: 0 })
    },
    TIMEOUT_MS,
  )

  test(
    'accept an acknowledgement of a broadcast on another node, once',
    async () => {
      await using pair = await startPair({ ...ACK, ACK_TIMEOUT_SECONDS: '3600' })
      const [a, b] = pair.nodes
      using first = await open(a, 'u')
      using other = await open(b, 'v')
      const { notification_id: id } = await broadcast(b, 1)
      await first.next()
      await other.next()
      first.close()
      await first.closed
      using moved = await open(b, 'u')
      expect(await ack(moved, id)).toEqual({ type: 'acked', notification_id: id })
      expect(await ack(moved, id)).toEqual({ type: 'acked', notification_id: id })
      expect(await ack(moved, crypto.randomUUID())).toMatchObject({ type: 'error', code: 'INVALID_ACK' })
      using stranger = await open(a, 'w')
      expect(await ack(stranger, id)).toMatchObject({ type: 'error', code: 'INVALID_ACK' })
      const token = await b.token('v')
      const answer = await b.post(
        '/api/v1/me/acks',
        { notification_ids: [id, crypto.randomUUID()] },
        { authorization: `Bearer ${token}` },
      )
      expect(answer.json.acked).toEqual([id])
      expect(answer.json.invalid).toHaveLength(1)
      expect(await acksOf(a)).toMatchObject({ total_tracked: 2, total_acked: 2, pending_count: 0 })
    },
    TIMEOUT_MS,
  )

  test(
    'keep an acknowledgement of a broadcast waiting while the bus is away',
    async () => {
      await using redis = await startRedis()
      await using line = await startProxy(redis.port)
      const away = `redis://127.0.0.1:${line.port}`
      const node = { ...ACK, ACK_TIMEOUT_SECONDS: '3600', STORE_URL: redis.url }
      await using a = await startTestApp({ ...node, NODE_ID: 'a', BUS_URL: redis.url })
      await using b = await startTestApp({ ...node, NODE_ID: 'b', STORE_URL: away, BUS_URL: away })
      await untilJoined([a, b])
      using first = await open(a, 'u')
      const { notification_id: id } = await broadcast(a, 1)
      await first.next()
      using second = await open(b, 'u')
      line.freeze()
      await eventually(async () => (await b.get('/health')).json.bus.status === 'unavailable')
      second.send({ type: 'Ack', payload: { notification_id: id } })
      const token = await b.token('u')
      const headers = { authorization: `Bearer ${token}` }
      expect(await b.post('/api/v1/me/acks', { notification_ids: [id] }, headers)).toMatchObject({
        status: 503,
      })
      expect(await acksOf(a)).toMatchObject({ pending_count: 1 })
      line.thaw()
      line.cut()
      expect(await second.next()).toEqual({ type: 'acked', notification_id: id })
      expect(await acksOf(a)).toMatchObject({ total_tracked: 1, total_acked: 1, pending_count: 0 })
    },
    TIMEOUT_MS,
  )

  test(
    'ask each other about a few made-up acknowledgements of a user only',
    async () => {
      await using pair = await startPair({ ...ACK, ACK_TIMEOUT_SECONDS: '3600' })
      const [a, b] = pair.nodes
      let questions = 0
      const spy = pair.redis.client()
      spy.on('message', (_, message) => {
        if (String(message).startsWith('acknowledge ')) questions++
      })
      await spy.subscribe('ara:bus:0:nodes')
      using client = await open(a, 'u')
      for (let n = 0; n < 200; n++)
        client.send({ type: 'Ack', payload: { notification_id: crypto.randomUUID() } })
      const refused = await settle(client)
      expect(refused.map(({ code }) => code)).toEqual(Array(200).fill('INVALID_ACK'))
      expect(questions).toBeLessThan(25)
      // Notifications that another node wrote to another user are acknowledged as before.
      using first = await open(b, 'v')
      const { notification_id: id } = await send(b, 'v', 1, { ttl: 0 })
      await first.next()
      using second = await open(a, 'v')
      expect(await ack(second, id)).toEqual({ type: 'acked', notification_id: id })
    },
    TIMEOUT_MS,
  )

  test(
    'redeliver to the sockets of both once per time to acknowledge, then give up',
    async () => {
      await using pair = await startPair(ACK)
      const [a, b] = pair.nodes
      using first = await open(a, 'u')
      using second = await open(b, 'u')
      const { notification_id: id } = await send(a, 'u', 1)
      for (const client of [first, second]) {
        const [one, two, three] = await client.take(3)
        expect([one, two, three].map(message => [message.id, message.redelivered])).toEqual([
          [id, undefined],
          [id, 1],
          [id, 2],
        ])
        expect([two.cursor, three.cursor]).toEqual([one.cursor, one.cursor])
      }
      await eventually(async () => (await reportOf(a, id)).state === 'expired')
      expect(await reportOf(b, id)).toMatchObject({ state: 'expired', attempts: 3 })
      const metrics = await Promise.all(pair.nodes.map(scrape))
      const total = (name: string) => metrics.reduce((sum, metric) => sum + metric.value(name), 0)
      expect(total('ara_ack_redelivered_total')).toBe(2)
      expect(total('ara_ack_expired_total')).toBe(1)
      expect(total('ara_ack_tracked_total')).toBe(1)
      expect(metrics.map(metric => metric.value('ara_messages_delivered_total'))).toEqual([3, 3])
      for (const client of [first, second]) expect(await settle(client)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'redeliver nothing that was acknowledged on the other node',
    async () => {
      await using pair = await startPair(ACK)
      const [a, b] = pair.nodes
      using first = await open(a, 'u')
      using second = await open(b, 'u')
      const ids: string[] = []
      for (let n = 0; n < 10; n++) ids.push((await send(n % 2 === 0 ? a : b, 'u', n)).notification_id)
      await first.take(10)
      await second.take(10)
      for (const [n, id] of ids.entries()) if (n !== 9) await ackAnyway(n % 2 === 0 ? second : first, id)
      // On a busy machine some come again before they are acknowledged.
      for (const client of [first, second]) await settle(client)
      // The last one is the only one left, and comes again.
      for (const client of [first, second])
        expect(await client.next()).toMatchObject({ id: ids[9], redelivered: expect.any(Number) })
    },
    TIMEOUT_MS,
  )

  test(
    'go on redelivering to a user who moved to the other node',
    async () => {
      await using pair = await startPair(ACK)
      const [a, b] = pair.nodes
      using first = await open(a, 'u')
      const { notification_id: id } = await send(b, 'u', 1)
      const { cursor } = await first.next()
      first.close()
      await first.closed
      using second = await open(b, 'u', cursor)
      expect(await second.next()).toMatchObject({ id, redelivered: 1 })
      await ackAnyway(second, id)
    },
    TIMEOUT_MS,
  )

  test(
    'with QUEUE_ENABLED=false keep a notification for users with a connection on either',
    async () => {
      await using pair = await startPair({ ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '3600' })
      const [a, b] = pair.nodes
      using client = await open(b, 'u')
      expect(await send(a, 'u', 1)).toMatchObject({ delivered_to: 1, status: 'delivered' })
      expect(await send(a, 'away', 1)).toMatchObject({ queued: 0, status: 'no_recipient' })
      const { id } = await client.next()
      expect(await ack(client, id)).toMatchObject({ type: 'acked' })
      expect(await pair.redis.client().exists('ara:head:{default:away}')).toBe(0)
    },
    TIMEOUT_MS,
  )
})
