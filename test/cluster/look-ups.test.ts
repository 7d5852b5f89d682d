import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import type { Message, SocketClient } from '../support/client.ts'
import { startPair, startTrio } from '../support/cluster.ts'
import { createRandom } from '../support/random.ts'
import { startService } from '../support/service.ts'
import { sendIn, waysTo } from '../support/tenants.ts'
import { eventually, publish, send, socketOf, streamOf } from '../support/visit.ts'

const ACME = { 'x-api-key': 'a-key-of-acme-0123456789' }
const TENANCY = { TENANT_ENABLED: 'true', TENANT_API_KEYS: `acme:${ACME['x-api-key']}` }
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))

const jsonOf = async (app: TestApp, path: string, headers?: Record<string, string>): Promise<Message> =>
  (await app.get(path, headers)).json

/** Asks every node, and expects the same answer from each. `own` are fields of the node that answers. */
async function ask(nodes: readonly TestApp[], path: string, own: readonly string[] = []): Promise<Message> {
  const answers: Message[] = await Promise.all(nodes.map(node => jsonOf(node, path)))
  for (const answer of answers) {
    for (const field of own) delete answer[field]
    expect(answer).toEqual(answers[0])
  }
  return answers[0]
}

async function subscribe(client: SocketClient, channels: readonly string[]): Promise<void> {
  client.send({ type: 'Subscribe', payload: { channels } })
  await client.nextOf('subscribed')
}

/** Opens a socket with channels. */
async function subscriber(
  app: TestApp,
  user: string,
  channels: readonly string[],
  claims: Record<string, unknown> = {},
): Promise<SocketClient> {
  const client = await socketOf(app, user, { claims })
  await subscribe(client, channels)
  return client
}

describe.concurrent('Every node answers for all nodes', () => {
  test('about users, channels, statistics and tenants, whatever is connected where', async () => {
    console.log(`SEED=${SEED}`)
    const random = createRandom(SEED)
    await using cluster = await startTrio({
      ACK_ENABLED: 'true',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
    })
    const { nodes } = cluster
    using clients = new DisposableStack()
    const USERS = ['u', 'v', 'w'] as const
    const CHANNELS = ['orders', 'system', 'alerts', 'Größe'] as const
    const open: { user: string; node: number; channels: readonly string[] }[] = []
    for (let n = 0; n < 24; n++) {
      const node = random.whole(0, nodes.length - 1)
      const user = random.pick(USERS)
      const channels = CHANNELS.filter(() => random.chance(0.5))
      const app = nodes[node] as TestApp
      if (random.chance(0.2)) {
        const stream = clients.use(await streamOf(app, user))
        await stream.nextOf('connected')
        open.push({ user, node, channels: [] })
      } else {
        clients.use(await subscriber(app, user, ['all', ...channels]))
        open.push({ user, node, channels: ['all', ...channels] })
      }
    }
    const counted = (names: readonly string[]): Record<string, number> =>
      Object.fromEntries(
        [...new Set(names)].sort().map(name => [name, names.filter(each => each === name).length]),
      )

    const channels = counted(open.flatMap(each => each.channels))
    const list = Object.entries(channels).map(([name, subscribers]) => ({
      name,
      subscriber_count: subscribers,
    }))
    expect(await ask(nodes, '/api/v1/channels')).toEqual({ channels: list, total_channels: list.length })
    expect(await ask(nodes, '/api/v1/channels?limit=2&after=alerts')).toEqual({
      channels: list.filter(({ name }) => name > 'alerts').slice(0, 2),
      total_channels: list.length,
    })
    for (const { name, subscriber_count } of list)
      expect(await ask(nodes, `/api/v1/channels/${encodeURIComponent(name)}`)).toEqual({
        name,
        subscriber_count,
      })

    for (const user of USERS) {
      const own = open.filter(each => each.user === user)
      const at = counted(own.map(({ node }) => `n${node + 1}`))
      expect(await ask(nodes, `/api/v1/users/${user}/presence`)).toEqual({
        user_id: user,
        online: own.length > 0,
        connections: own.length,
        nodes: Object.entries(at).map(([node, connections]) => ({ node, connections })),
      })
      if (own.length > 0)
        expect(await ask(nodes, `/api/v1/users/${user}/subscriptions`)).toEqual({
          user_id: user,
          connection_count: own.length,
          subscriptions: [...new Set(own.flatMap(each => each.channels))].sort(),
        })
    }

    for (const node of nodes) {
      await send(node, 'u', 1)
      await publish(node, 'all', 2)
    }
    const sockets = open.filter(each => each.channels.length > 0).length
    const delivered = 3 * (open.filter(({ user }) => user === 'u').length + sockets)
    const readers = new Set(open.filter(each => each.channels.length > 0).map(({ user }) => user))
    const tracked = 3 * (Number(open.some(({ user }) => user === 'u')) + readers.size)
    // Nodes note what they handed over some time later.
    await eventually(async () => {
      const { notifications, ack } = await jsonOf(nodes[0], '/stats')
      return notifications.total_delivered === delivered && ack.total_tracked === tracked
    })
    expect(await ask(nodes, '/stats', ['redis'])).toEqual({
      connections: {
        total_connections: open.length,
        unique_users: new Set(open.map(({ user, node }) => `${user} ${node}`)).size,
        channels,
      },
      notifications: {
        total_sent: 6,
        total_delivered: delivered,
        total_failed: 0,
        user_notifications: 3,
        broadcast_notifications: 0,
        channel_notifications: 3,
      },
      ack: expect.objectContaining({ enabled: true, total_tracked: tracked, total_acked: 0 }),
    })
    const stats = {
      active_connections: open.length,
      total_connections: open.length,
      messages_sent: 6,
      messages_delivered: delivered,
    }
    expect(await ask(nodes, '/api/v1/tenants')).toEqual({
      enabled: false,
      tenants: [{ tenant_id: 'default', stats }],
      total: 1,
    })
    expect(await ask(nodes, '/api/v1/tenants/default')).toMatchObject({ tenant_id: 'default', stats })
    const { nodes: listed, total } = await ask(nodes, '/api/v1/cluster', ['node'])
    expect([listed.map(({ id }: Message) => id), total]).toEqual([['n1', 'n2', 'n3'], 3])
    expect(listed.map(({ connections }: Message) => connections)).toEqual(
      nodes.map((_, n) => open.filter(({ node }) => node === n).length),
    )
  }, 60_000)

  test('page by page over thousands of channels', async () => {
    await using cluster = await startPair({ WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: '0' })
    const { nodes } = cluster
    const names = Array.from({ length: 6_000 }, (_, n) => `channel-${String(n).padStart(4, '0')}`)
    // Each third channel has a subscriber on both nodes.
    const held = [names.filter((_, n) => n % 3 !== 1), names.filter((_, n) => n % 3 !== 2)]
    using clients = new DisposableStack()
    for (const [n, own] of held.entries()) {
      const client = clients.use(await socketOf(nodes[n] as TestApp, 'u'))
      for (let from = 0; from < own.length; from += 1_000)
        await subscribe(client, own.slice(from, from + 1_000))
    }
    const all = names.map((name, n) => ({ name, subscriber_count: n % 3 === 0 ? 2 : 1 }))
    expect(await ask(nodes, '/api/v1/channels')).toEqual({ channels: all, total_channels: 6_000 })
    for (let from = 0; from < all.length; from += 2_500) {
      const after = from === 0 ? '' : `&after=${all[from - 1]?.name}`
      expect(await ask(nodes, `/api/v1/channels?limit=2500${after}`)).toEqual({
        channels: all.slice(from, from + 2_500),
        total_channels: 6_000,
      })
    }
    expect((await ask(nodes, '/api/v1/users/u/subscriptions')).subscriptions).toEqual(names)
    const { connections } = await ask(nodes, '/stats', ['redis'])
    expect(Object.keys(connections.channels)).toEqual(names.filter((_, n) => n % 3 === 0).slice(0, 1_000))
  }, 60_000)

  test('and a tenant sees nothing of another on any node', async () => {
    await using cluster = await startPair(TENANCY)
    const [a, b] = cluster.nodes
    using _ = await subscriber(a, 'u', ['orders', 'acme-only'], { tenant_id: 'acme' })
    using __ = await subscriber(b, 'u', ['orders'], { tenant_id: 'globex' })
    for (const way of waysTo('u', 'orders')) await sendIn(b, 'globex', way, 1)
    for (const node of [a, b]) {
      expect(await jsonOf(node, '/api/v1/channels', ACME)).toEqual({
        channels: ['acme-only', 'orders'].map(name => ({ name, subscriber_count: 1 })),
        total_channels: 2,
      })
      expect(await jsonOf(node, '/api/v1/users/u/presence', ACME)).toEqual({
        user_id: 'u',
        online: true,
        connections: 1,
        nodes: [{ node: 'n1', connections: 1 }],
      })
      expect(await jsonOf(node, '/api/v1/users/u/subscriptions', ACME)).toMatchObject({ connection_count: 1 })
      const { connections, notifications } = await jsonOf(node, '/stats', ACME)
      expect([connections.total_connections, connections.unique_users]).toEqual([1, 1])
      expect([notifications.total_sent, notifications.total_delivered]).toEqual([0, 0])
      const { tenants } = await jsonOf(node, '/api/v1/tenants', ACME)
      expect(tenants.map(({ tenant_id: id }: Message) => id)).toEqual(['acme'])
      expect((await node.get('/api/v1/tenants/globex', ACME)).status).toBe(404)
      expect((await node.get('/api/v1/channels/acme-only', { 'x-tenant-id': 'globex' })).status).toBe(404)
      expect((await node.get('/api/v1/cluster', ACME)).status).toBe(403)
      expect((await jsonOf(node, '/api/v1/tenants')).total).toBe(2)
    }
  }, 30_000)

  test('and what is unknown to all nodes is not found on any', async () => {
    await using cluster = await startPair(TENANCY)
    for (const node of cluster.nodes) {
      for (const [path, code] of [
        ['/api/v1/channels/none', 'CHANNEL_NOT_FOUND'],
        ['/api/v1/users/away/subscriptions', 'USER_NOT_CONNECTED'],
        ['/api/v1/tenants/unknown', 'TENANT_NOT_FOUND'],
      ] as const) {
        const { status, json } = await node.get(path)
        expect([status, json.error.code]).toEqual([404, code])
      }
      expect(await jsonOf(node, '/api/v1/users/away/presence')).toEqual({
        user_id: 'away',
        online: false,
        connections: 0,
        nodes: [],
      })
    }
  }, 30_000)
})

/** A node in a process of its own, which can be killed or frozen. */
const startProcess = (url: string) =>
  startService({ NODE_ID: 'p', STORE_URL: url, BUS_URL: url, LOG_LEVEL: 'info' })

const PATHS = [
  '/api/v1/users/u/presence',
  '/api/v1/users/u/subscriptions',
  '/api/v1/channels',
  '/api/v1/channels/orders',
  '/api/v1/tenants',
  '/api/v1/tenants/default',
  '/api/v1/cluster',
  '/stats',
]

/** A node of this process beside one in its own, each with a subscriber of `orders`. */
async function startWithProcess() {
  const stack = new AsyncDisposableStack()
  const cluster = stack.use(await startPair())
  const [node] = cluster.nodes
  const process = stack.use(await startProcess(cluster.redis.url))
  const own = stack.use(await subscriber(node, 'u', ['orders']))
  const other = stack.use(
    await subscriber({ ...node, url: process.url, port: process.port }, 'u', ['orders']),
  )
  await eventually(async () => (await jsonOf(node, '/api/v1/users/u/presence')).connections === 2)
  return {
    node,
    process,
    own,
    other,
    redis: cluster.redis,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

describe.concurrent('A node that', () => {
  test('is killed is gone from all answers within 10 s', async () => {
    await using cluster = await startWithProcess()
    const { node, process } = cluster
    process.signal('SIGKILL')
    const began = performance.now()
    await eventually(async () => {
      const answers = await Promise.all(PATHS.map(path => jsonOf(node, path)))
      return JSON.stringify(answers).includes('"p"') === false && answers.every(({ partial }) => !partial)
    })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(await jsonOf(node, '/api/v1/users/u/presence')).toMatchObject({
      connections: 1,
      nodes: [{ node: 'n1', connections: 1 }],
    })
  }, 30_000)

  test('is frozen is left out of answers, which say that they are partial, until it goes on', async () => {
    await using cluster = await startWithProcess()
    const { node, process } = cluster
    globalThis.process.kill(process.pid, 'SIGSTOP')
    const answers = await Promise.all(PATHS.map(async path => [path, await jsonOf(node, path)] as const))
    globalThis.process.kill(process.pid, 'SIGCONT')
    expect(answers.map(([path, { partial }]) => [path, partial])).toEqual(PATHS.map(path => [path, true]))
    await eventually(async () => {
      const { connections, partial } = await jsonOf(node, '/api/v1/users/u/presence')
      return connections === 2 && partial === undefined
    })
  }, 30_000)

  test('cannot reach its Redis answers with its own numbers, and does not say that something is unknown', async () => {
    await using cluster = await startWithProcess()
    const { node, redis } = cluster
    await redis.kill()
    await eventually(async () => (await jsonOf(node, '/api/v1/users/u/presence')).partial)
    for (const path of PATHS) expect([path, (await jsonOf(node, path)).partial]).toEqual([path, true])
    expect(await jsonOf(node, '/api/v1/users/u/presence')).toMatchObject({ connections: 1, online: true })
    expect(await jsonOf(node, '/api/v1/channels/none')).toEqual({
      name: 'none',
      subscriber_count: 0,
      partial: true,
    })
    expect(await jsonOf(node, '/api/v1/users/away/subscriptions')).toEqual({
      user_id: 'away',
      connection_count: 0,
      subscriptions: [],
      partial: true,
    })
    await redis.restart()
    await eventually(async () => {
      const { connections, partial } = await jsonOf(node, '/api/v1/users/u/presence')
      return connections === 2 && partial === undefined
    })
  }, 30_000)
})
