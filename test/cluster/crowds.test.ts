import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startPair } from '../support/cluster.ts'
import { changesBy } from '../support/metrics.ts'
import { subscribed } from '../support/trigger.ts'
import { broadcast, publish, settle, socketOf, streamOf } from '../support/visit.ts'

const TIMEOUT_MS = 30_000

const payloads = (messages: readonly Message[]) =>
  messages.filter(({ type }) => type === 'notification').map(({ payload }) => payload)

async function post(app: TestApp, path: string, body: object): Promise<Message> {
  const { status, json } = await app.post(`/api/v1/notifications/${path}`, { event_type: 'e', ...body })
  expect(status).toBe(200)
  return json
}

describe('Two nodes', () => {
  test(
    'bring a channel’s notifications to its subscribers on both, and to nobody else',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using first = await subscribed(a, 'u', 'c')
      using second = await subscribed(b, 'v', 'c', 'd')
      using other = await subscribed(b, 'w', 'd')
      for (const [n, node] of [a, b, a].entries())
        expect(await publish(node, 'c', n)).toMatchObject({ delivered_to: 2, failed: 0, status: 'delivered' })
      expect(await publish(a, 'empty', 0)).toMatchObject({ delivered_to: 0, status: 'no_recipient' })
      expect(payloads(await settle(first))).toEqual([0, 1, 2])
      expect(payloads(await settle(second))).toEqual([0, 1, 2])
      expect(payloads(await settle(other))).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'bring a send to several channels to each connection once',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using first = await subscribed(a, 'u', 'c', 'd')
      using second = await subscribed(b, 'v', 'c', 'd', 'e')
      using third = await subscribed(b, 'w', 'e')
      const channels = ['c', 'd', 'e', 'c']
      expect(await post(a, 'channels', { channels, payload: 1 })).toMatchObject({
        delivered_to: 3,
        status: 'delivered',
      })
      for (const client of [first, second, third]) expect(payloads(await settle(client))).toEqual([1])
    },
    TIMEOUT_MS,
  )

  test(
    'bring a broadcast to all sockets and streams, and only to its audience',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using admin = await socketOf(b, 'u', { claims: { roles: ['admin'] } })
      using plain = await socketOf(a, 'v')
      using reader = await subscribed(b, 'w', 'news')
      using stream = await streamOf(b, 'x', { claims: { roles: ['admin'] } })
      await stream.next()
      const sends = [
        [undefined, 4],
        [{ type: 'All' }, 4],
        [{ type: 'Roles', value: ['admin'] }, 2],
        [{ type: 'Users', value: ['v', 'w', 'nobody'] }, 2],
        [{ type: 'Channels', value: ['news'] }, 1],
        [{ type: 'Roles', value: [] }, 0],
      ] as const
      for (const [payload, [audience, count]] of sends.entries())
        expect(await post(a, 'broadcast', { payload, audience })).toMatchObject({
          delivered_to: count,
          status: count > 0 ? 'delivered' : 'no_recipient',
        })
      expect(payloads(await settle(admin))).toEqual([0, 1, 2])
      expect(payloads(await settle(plain))).toEqual([0, 1, 3])
      expect(payloads(await settle(reader))).toEqual([0, 1, 3, 4])
      expect((await stream.take(3)).map(({ data }) => data.payload)).toEqual([0, 1, 2])
    },
    TIMEOUT_MS,
  )

  test(
    'keep the order of one caller’s sends on both',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using first = await subscribed(a, 'u', 'c')
      using second = await subscribed(b, 'v', 'c')
      const notifications = Array.from({ length: 60 }, (_, payload) => ({
        target: [
          { type: 'channel', value: 'c' },
          { type: 'channels', value: ['c', 'd'] },
          { type: 'broadcast' },
        ][payload % 3],
        event_type: 'e',
        payload,
      }))
      const { json } = await a.post('/api/v1/notifications/batch', { notifications })
      expect(json.summary).toMatchObject({ succeeded: 60, total_delivered: 120 })
      for (const client of [first, second])
        expect(payloads(await settle(client))).toEqual(notifications.map(({ payload }) => payload))
    },
    TIMEOUT_MS,
  )

  test(
    'confirm a subscription when sends of both reach it, and end it at once',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using client = await socketOf(b, 'u')
      for (let n = 0; n < 20; n++) {
        client.send({ type: 'Subscribe', payload: { channels: ['c'] } })
        expect(await client.next()).toEqual({ type: 'subscribed', payload: ['c'] })
        expect(await publish(a, 'c', n)).toMatchObject({ delivered_to: 1 })
        expect(await client.next()).toMatchObject({ payload: n })
        client.send({ type: 'Unsubscribe', payload: { channels: ['c'] } })
        expect(await client.next()).toEqual({ type: 'unsubscribed', payload: ['c'] })
        expect(await publish(a, 'c', 'late')).toMatchObject({ delivered_to: 0, status: 'no_recipient' })
      }
      expect(await settle(client)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'answer the messages of a client in order while it subscribes',
    async () => {
      await using pair = await startPair()
      const [, b] = pair.nodes
      using client = await socketOf(b, 'u')
      client.send({ type: 'Subscribe', payload: { channels: ['c', 'd', 'bad name'] } })
      client.send({ type: 'Ping' })
      client.send({ type: 'Unsubscribe', payload: { channels: ['c'] } })
      client.send({ type: 'Subscribe', payload: { channels: ['d', 'e'] } })
      client.send({ type: 'Ping' })
      expect((await client.take(6)).map(({ type, payload }) => [type, payload])).toEqual([
        ['subscribed', ['c', 'd']],
        ['error', undefined],
        ['pong', undefined],
        ['unsubscribed', ['c']],
        ['subscribed', ['d', 'e']],
        ['pong', undefined],
      ])
    },
    TIMEOUT_MS,
  )

  test(
    'reach a client of version 1 from its open event on',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      for (let n = 0; n < 20; n++) {
        using client = await socketOf(b, `u${n}`)
        expect(await broadcast(a, n)).toMatchObject({ delivered_to: 1 })
        expect(await client.next()).toMatchObject({ payload: n })
        client.close()
        await client.closed
      }
    },
    TIMEOUT_MS,
  )

  test(
    'count each frame where it was written',
    async () => {
      await using pair = await startPair()
      const [a, b] = pair.nodes
      using _ = await subscribed(a, 'u', 'c')
      using __ = await subscribed(b, 'v', 'c')
      using ___ = await subscribed(b, 'w', 'c')
      let here = {}
      const there = await changesBy(b, async () => {
        here = await changesBy(a, () => publish(a, 'c', 1))
      })
      expect(here).toMatchObject({
        ara_messages_delivered_total: 1,
        ara_message_delivery_latency_seconds_count: 1,
        'ara_messages_sent_total{target="channel"}': 1,
      })
      expect(there).toMatchObject({
        ara_messages_delivered_total: 2,
        ara_message_delivery_latency_seconds_count: 2,
      })
      expect(there).not.toHaveProperty('ara_messages_sent_total{target="channel"}')
    },
    TIMEOUT_MS,
  )
})
