import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startPair, startTrio } from '../support/cluster.ts'
import { changesBy } from '../support/metrics.ts'
import { publish, send, sendToUsers, settle, socketOf, streamOf } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true' }
const TIMEOUT_MS = 30_000

const payloads = (messages: readonly Message[]) =>
  messages.filter(({ type }) => type === 'notification').map(({ payload }) => payload)

const batch = async (app: TestApp, notifications: readonly object[]): Promise<Message> =>
  (await app.post('/api/v1/notifications/batch', { notifications })).json

describe('Two nodes', () => {
  test(
    'bring a user’s notifications to sockets and streams on both, each once and in order',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using first = await socketOf(a, 'u', { cursor: '' })
      using second = await socketOf(b, 'u', { cursor: '' })
      using stream = await streamOf(b, 'u')
      await first.next()
      await second.next()
      await stream.next()
      const results: Message[] = []
      for (let n = 0; n < 20; n++) results.push(await send(n % 2 === 0 ? a : b, 'u', n))
      for (const result of results)
        expect(result).toMatchObject({
          success: true,
          delivered_to: 3,
          failed: 0,
          queued: 0,
          status: 'delivered',
        })
      const wanted = results.map(({ notification_id }, n) => [notification_id, n])
      for (const socket of [first, second])
        expect((await socket.take(20)).map(({ id, payload }) => [id, payload])).toEqual(wanted)
      expect((await stream.take(20)).map(({ data }) => [data.id, data.payload])).toEqual(wanted)
    },
    TIMEOUT_MS,
  )

  test(
    'keep one order of concurrent sends on all sockets of a user',
    async () => {
      await using pair = await startPair({ ...LOG, QUEUE_MAX_SIZE_PER_USER: '1000' })
      const [a, b] = pair.nodes
      using first = await socketOf(a, 'u', { cursor: '' })
      using second = await socketOf(b, 'u', { cursor: '' })
      await first.nextOf('connected')
      await second.nextOf('connected')
      const sends = Array.from({ length: 100 }, (_, n) => send(n % 2 === 0 ? a : b, 'u', n))
      // No send overtakes another one on its way to a socket, so none finds a gap.
      for (const result of await Promise.all(sends))
        expect(result).toMatchObject({ delivered_to: 2, queued: 0, status: 'delivered' })
      const [one, two] = [await first.take(100), await second.take(100)]
      expect(payloads(one)).toEqual(payloads(two))
      expect(payloads(one).toSorted((x, y) => x - y)).toEqual(Array.from({ length: 100 }, (_, n) => n))
      const seqs = one.map(({ cursor }) => Number(cursor.split(':')[1]))
      expect(seqs).toEqual(Array.from({ length: 100 }, (_, n) => n + 1))
    },
    TIMEOUT_MS,
  )

  test(
    'say for each send who got it, who is away, and count what was handed over where it was',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using _ = await socketOf(a, 'here', { cursor: '' })
      using __ = await socketOf(b, 'there', { cursor: '' })
      await settle(_)
      await settle(__)
      let changesHere = {}
      const changesThere = await changesBy(b, async () => {
        changesHere = await changesBy(a, async () => {
          expect(await send(a, 'there', 1)).toMatchObject({ delivered_to: 1, queued: 0, status: 'delivered' })
          expect(await send(a, 'away', 1)).toMatchObject({ success: true, queued: 1, status: 'queued' })
          expect(await sendToUsers(a, ['here', 'there', 'away'], 2)).toMatchObject({
            delivered_to: 2,
            failed: 0,
            queued: 1,
            status: 'partial',
          })
          expect(await sendToUsers(a, ['there', 'here', 'there'], 3)).toMatchObject({
            delivered_to: 2,
            queued: 0,
            status: 'delivered',
          })
        })
      })
      expect(changesHere).toMatchObject({
        ara_messages_delivered_total: 2,
        ara_message_delivery_latency_seconds_count: 2,
        'ara_messages_sent_total{target="user"}': 2,
        'ara_messages_sent_total{target="users"}': 2,
        ara_queue_enqueued_total: 2,
      })
      expect(changesThere).toMatchObject({
        ara_messages_delivered_total: 3,
        ara_message_delivery_latency_seconds_count: 3,
      })
      expect(changesThere).not.toHaveProperty('ara_queue_enqueued_total')
      for (const node of pair.nodes)
        expect((await node.get('/stats')).json.notifications).toMatchObject({
          total_sent: 4,
          total_delivered: 5,
          total_failed: 0,
        })
    },
    TIMEOUT_MS,
  )

  test(
    'resume a client on the other node, with its cursor, without gap or repeat',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using first = await socketOf(a, 'u', { cursor: '' })
      await first.next()
      await send(b, 'u', 1)
      const { cursor } = await first.next()
      first.close()
      await first.closed
      await send(a, 'u', 2)
      using second = await socketOf(b, 'u', { cursor })
      expect(await second.next()).toMatchObject({ recovered: true, replayed: 1, cursor })
      await send(a, 'u', 3)
      expect(payloads(await second.take(2))).toEqual([2, 3])
      using stream = await streamOf(a, 'u', { headers: { 'last-event-id': cursor } })
      expect((await stream.take(3)).slice(1).map(({ data }) => data.payload)).toEqual([2, 3])
    },
    TIMEOUT_MS,
  )

  test(
    'carry out a request with an idempotency key once, whichever node is asked',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using client = await socketOf(b, 'u', { cursor: '' })
      await client.next()
      const body = { target_user_id: 'u', event_type: 'e', payload: 1 }
      const ask = (node: TestApp) => node.post('/api/v1/notifications/send', body, { 'idempotency-key': 'k' })
      const first = await ask(a)
      const again = await ask(b)
      expect(first.json).toMatchObject({ delivered_to: 1, status: 'delivered' })
      expect(again.json).toEqual(first.json)
      expect(again.headers.get('idempotency-replayed')).toBe('true')
      expect(payloads(await settle(client))).toEqual([1])
    },
    TIMEOUT_MS,
  )

  test(
    'render a template as the other node has just changed it',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using client = await socketOf(a, 'u', { cursor: '' })
      const template = { id: 't', name: 't', event_type: 'e', payload_template: { n: 'one {{x}}' } }
      await a.post('/api/v1/templates', template)
      const use = (node: TestApp) =>
        node.post('/api/v1/notifications/send', {
          target_user_id: 'u',
          template_id: 't',
          variables: { x: 1 },
        })
      await use(b)
      await fetch(`${b.url}/api/v1/templates/t`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', 'x-api-key': 'a-key-for-tests-0123456789' },
        body: JSON.stringify({ payload_template: { n: 'two {{x}}' } }),
      })
      await use(a)
      expect(payloads(await client.take(3))).toEqual([{ n: 'one 1' }, { n: 'two 1' }])
    },
    TIMEOUT_MS,
  )

  test(
    'deliver a batch in the order of its items, on each node',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      const clients = [await socketOf(a, 'u', { cursor: '' }), await socketOf(b, 'u', { cursor: '' })]
      for (const client of clients) {
        client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
        await client.nextOf('subscribed')
      }
      const items = Array.from({ length: 40 }, (_, n) => ({
        target: n % 3 === 0 ? { type: 'user', value: 'u' } : { type: 'channel', value: 'c' },
        event_type: 'e',
        payload: n,
      }))
      const { results, summary } = await batch(a, items)
      expect(summary).toMatchObject({ total: 40, succeeded: 40, failed: 0, total_delivered: 80 })
      expect(results.every((result: Message) => result.delivered_to === 2)).toBe(true)
      for (const client of clients) {
        const got = payloads(await settle(client))
        expect(got.toSorted((x, y) => x - y)).toEqual(items.map(({ payload }) => payload))
        for (const kind of [0, 1]) {
          const ofKind = got.filter(payload => Math.min(payload % 3, 1) === kind)
          expect(ofKind).toEqual(ofKind.toSorted((x, y) => x - y))
        }
        client.close()
      }
    },
    TIMEOUT_MS,
  )

  test(
    'answer the same while other programs subscribe to patterns of the bus',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      const foreign = pair.redis.client()
      await foreign.psubscribe('*', 'ara:*')
      using client = await socketOf(b, 'u', { cursor: '' })
      client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
      await client.nextOf('subscribed')
      const changes = await changesBy(a, async () => {
        expect(await send(a, 'u', 1)).toMatchObject({ delivered_to: 1, status: 'delivered' })
        expect(await send(a, 'away', 1)).toMatchObject({ delivered_to: 0, status: 'queued' })
        expect(await publish(a, 'c', 2)).toMatchObject({ delivered_to: 1, status: 'delivered' })
        expect(await publish(a, 'nobody', 2)).toMatchObject({ delivered_to: 0, status: 'no_recipient' })
      })
      expect(changes).not.toHaveProperty('ara_bus_answer_timeouts_total')
    },
    TIMEOUT_MS,
  )

  test(
    'disconnect and revoke a user everywhere',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      const iat = Math.floor(Date.now() / 1000) - 10
      using first = await socketOf(a, 'u', { claims: { iat } })
      using second = await socketOf(b, 'u', { claims: { iat } })
      using stream = await streamOf(b, 'u', { claims: { iat } })
      const { json } = await a.post('/api/v1/users/u/disconnect', { reason: 'bye', issued_before: iat + 5 })
      expect(json).toEqual({ user_id: 'u', disconnected: 3 })
      for (const { closed } of [first, second]) expect(await closed).toEqual({ code: 4403, reason: 'bye' })
      await stream.closed
      for (const node of pair.nodes) {
        const answer = await fetch(`${node.url}/sse?token=${await node.token('u', { iat })}`)
        expect(answer.status).toBe(401)
        await answer.body?.cancel()
      }
    },
    TIMEOUT_MS,
  )

  test(
    'with the log off reach whoever is connected, on both',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using first = await socketOf(a, 'u', { cursor: '' })
      using second = await socketOf(b, 'u', { cursor: '' })
      using other = await socketOf(b, 'v', { cursor: '' })
      for (const client of [first, second, other]) await client.next()
      expect(await send(a, 'u', 1)).toMatchObject({ delivered_to: 2, queued: 0, status: 'delivered' })
      expect(await send(a, 'away', 1)).toMatchObject({ success: false, status: 'no_recipient' })
      expect(await sendToUsers(a, ['u', 'v', 'away'], 2)).toMatchObject({
        delivered_to: 3,
        status: 'partial',
      })
      expect(await sendToUsers(b, ['u', 'v'], 3)).toMatchObject({ delivered_to: 3, status: 'delivered' })
      expect(
        await sendToUsers(a, Array.from({ length: 3_000 }, (_, n) => `n${n}`).concat('v'), 4),
      ).toMatchObject({
        delivered_to: 1,
        status: 'partial',
      })
      expect(payloads(await settle(first))).toEqual([1, 2, 3])
      expect(payloads(await settle(second))).toEqual([1, 2, 3])
      expect(payloads(await settle(other))).toEqual([2, 3, 4])
    },
    TIMEOUT_MS,
  )

  test(
    'with ttl 0 reach live connections on both, past the log',
    async () => {
      await using pair = await startPair(LOG)
      const [a, b] = pair.nodes
      using first = await socketOf(a, 'u', { cursor: '' })
      using second = await socketOf(b, 'u', { cursor: '' })
      for (const client of [first, second]) {
        await client.next()
        await settle(client)
      }
      expect(await send(a, 'u', 1, { ttl: 0 })).toMatchObject({
        delivered_to: 2,
        queued: 0,
        status: 'delivered',
      })
      expect(await send(a, 'away', 1, { ttl: 0 })).toMatchObject({ queued: 0, status: 'no_recipient' })
      for (const client of [first, second]) expect(await client.next()).not.toHaveProperty('cursor')
    },
    TIMEOUT_MS,
  )
})

test(
  'three nodes bring each notification to each connection once',
  async () => {
    await using cluster = await startTrio(LOG)
    const clients = await Promise.all(cluster.nodes.map(node => socketOf(node, 'u', { cursor: '' })))
    for (const client of clients) await client.next()
    for (const [n, node] of cluster.nodes.entries())
      expect(await send(node, 'u', n)).toMatchObject({ delivered_to: 3, status: 'delivered' })
    for (const client of clients) {
      expect(payloads(await settle(client))).toEqual([0, 1, 2])
      client.close()
    }
  },
  TIMEOUT_MS,
)

test(
  'two nodes reach 2,000 users of a send with a large payload, and say how many got it',
  async () => {
    await using pair = await startPair(LOG)
    const [a, b] = pair.nodes
    const users = Array.from({ length: 2_000 }, (_, n) => `u${n}`)
    const clients = await Promise.all(
      Array.from({ length: 40 }, (_, n) => socketOf(n % 2 === 0 ? a : b, `u${n * 50}`, { cursor: '' })),
    )
    for (const client of clients) await client.next()
    const payload = 'x'.repeat(3_000)
    const { results } = await batch(a, [
      { target: { type: 'users', value: users }, event_type: 'e', payload },
    ])
    expect(results).toMatchObject([{ delivered_to: 40, failed: 0, queued: 1_960, status: 'partial' }])
    for (const client of clients) {
      expect(payloads(await settle(client))).toEqual([payload])
      client.close()
    }
  },
  TIMEOUT_MS,
)
