import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { startPair } from '../support/cluster.ts'
import { broadcast, eventually, publish, send, socketOf } from '../support/visit.ts'

const ACK = { ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '3600' }
const SHORT = { ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '1', ACK_CLEANUP_INTERVAL_SECONDS: '1' }
const TIMEOUT_MS = 30_000
const ONCE = { total_tracked: 1, total_acked: 1, total_expired: 0, pending_count: 0, ack_rate: 1 }

const statsOf = async (app: TestApp): Promise<Message> => (await app.get('/stats')).json.ack
const untilStatsAre = (app: TestApp, stats: object): Promise<void> =>
  eventually(async () => Bun.deepMatch(stats, await statsOf(app)))

async function open(app: TestApp, user: string): Promise<SocketClient> {
  const client = await socketOf(app, user, { cursor: '' })
  await client.nextOf('connected')
  client.send({ type: 'Subscribe', payload: { channels: ['room'] } })
  await client.nextOf('subscribed')
  return client
}

/** Clients of one user, one on each node; the one on the node with this place comes first. */
async function openOnBoth(nodes: readonly [TestApp, TestApp], first: 0 | 1) {
  const clients = [await open(nodes[0], 'u'), await open(nodes[1], 'u')] as const
  return first === 0 ? clients : ([clients[1], clients[0]] as const)
}

async function ack(client: SocketClient, id: string): Promise<void> {
  client.send({ type: 'Ack', payload: { notification_id: id } })
  expect(await client.nextOf('acked')).toMatchObject({ notification_id: id })
}

/** Ways to send one notification to the user `u` that no log keeps. */
const SENDS: readonly (readonly [name: string, send: (app: TestApp) => Promise<Message>])[] = [
  ['a broadcast', app => broadcast(app, 1)],
  ['a channel notification', app => publish(app, 'room', 1)],
  ['a notification with ttl 0', app => send(app, 'u', 1, { ttl: 0 })],
]

describe.each([
  ['one node', 0],
  ['two nodes', 1],
] as const)('A user with two clients on %s counts once in the statistics of acknowledgements', (_, other) => {
  for (const [name, give] of SENDS)
    test(
      `of ${name}, whichever client acknowledges, also both at once`,
      async () => {
        for (const acks of [[0], [1], [0, 1], [1, 0]]) {
          await using pair = await startPair(ACK)
          const nodes = pair.nodes
          const clients = [await open(nodes[0], 'u'), await open(nodes[other], 'u')] as const
          const { notification_id: id } = await give(nodes[0])
          for (const client of clients) expect(await client.nextOf('notification')).toMatchObject({ id })
          await untilStatsAre(nodes[0], { ...ONCE, total_acked: 0, pending_count: 1 })
          await Promise.all(acks.map(client => ack(client === 0 ? clients[0] : clients[1], id)))
          await untilStatsAre(nodes[1], ONCE)
          for (const client of clients) await ack(client, id)
          expect(await statsOf(nodes[0])).toMatchObject(ONCE)
        }
      },
      TIMEOUT_MS,
    )

  test(
    'of a broadcast that no client acknowledges',
    async () => {
      await using pair = await startPair(SHORT)
      const { nodes } = pair
      using first = await open(nodes[0], 'u')
      using second = await open(nodes[other], 'u')
      await broadcast(nodes[0], 1)
      for (const client of [first, second]) await client.nextOf('notification')
      const expired = { total_tracked: 1, total_acked: 0, total_expired: 1, pending_count: 0 }
      await untilStatsAre(nodes[0], expired)
      // The other node removes its records within two seconds, too.
      await broadcast(nodes[1], 2)
      await untilStatsAre(nodes[0], { ...expired, total_tracked: 2, total_expired: 2 })
    },
    TIMEOUT_MS,
  )
})

test(
  'A user whose client on one node alone received a channel notification counts once',
  async () => {
    for (const hears of [0, 1] as const) {
      await using pair = await startPair(ACK)
      const { nodes } = pair
      const [hearing, other] = await openOnBoth(nodes, hears)
      other.send({ type: 'Unsubscribe', payload: { channels: ['room'] } })
      await other.nextOf('unsubscribed')
      const { notification_id: id } = await publish(nodes[0], 'room', 1)
      await hearing.nextOf('notification')
      await untilStatsAre(nodes[0], { total_tracked: 1, pending_count: 1 })
      // The user may acknowledge on either node.
      await ack(other, id)
      await ack(hearing, id)
      await untilStatsAre(nodes[0], ONCE)
    }
  },
  TIMEOUT_MS,
)

test(
  'A client that stays counts when the client on the other node has left',
  async () => {
    for (const stays of [0, 1] as const) {
      await using pair = await startPair(ACK)
      const { nodes } = pair
      const [staying, leaving] = await openOnBoth(nodes, stays)
      leaving.close()
      await leaving.closed
      await eventually(async () => (await nodes[0].get('/api/v1/users/u/presence')).json.connections === 1)
      const { notification_id: id } = await broadcast(nodes[0], 1)
      await staying.nextOf('notification')
      expect(await statsOf(nodes[0])).toMatchObject({ total_tracked: 1, pending_count: 1 })
      await ack(staying, id)
      expect(await statsOf(nodes[1])).toMatchObject(ONCE)
    }
  },
  TIMEOUT_MS,
)
