import { describe, expect, test } from 'bun:test'
import type { TestApp } from '../support/app.ts'
import { connectSocket, type SocketClient } from '../support/client.ts'
import { startPair } from '../support/cluster.ts'
import { startLazyProxy } from '../support/lazy-proxy.ts'
import { startService } from '../support/service.ts'
import { eventually, socketOf, streamOf } from '../support/visit.ts'

const LIMIT_3 = { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '3' }

/** Opens a socket. Resolves with `open` or with the code of the refusal. */
async function tryOpen(
  app: TestApp,
  user: string,
  claims: Record<string, unknown> = {},
): Promise<{ readonly client: SocketClient; readonly outcome: string }> {
  const client = await socketOf(app, user, { claims, cursor: '' })
  const first = await client.next()
  return { client, outcome: first.type === 'connected' ? 'open' : first.code }
}

const outcomeOf = async (...given: Parameters<typeof tryOpen>): Promise<string> =>
  (await tryOpen(...given)).outcome

const presence = async (app: TestApp, user: string): Promise<number> =>
  (await app.get(`/api/v1/users/${user}/presence`)).json.connections

const streamStatus = async (app: TestApp, user: string): Promise<number> => {
  const { status, body } = await fetch(`${app.url}/sse?token=${await app.token(user)}`)
  await body?.cancel()
  return status
}

describe.concurrent('The limit of connections', () => {
  test('per user counts sockets and streams of all nodes', async () => {
    await using cluster = await startPair(LIMIT_3)
    const [a, b] = cluster.nodes
    const first = await tryOpen(a, 'u')
    const second = await tryOpen(b, 'u')
    using stream = await streamOf(b, 'u')
    await stream.nextOf('connected')
    expect([first.outcome, second.outcome]).toEqual(['open', 'open'])
    const refused = await Promise.all([
      outcomeOf(a, 'u'),
      outcomeOf(b, 'u'),
      streamStatus(a, 'u'),
      streamStatus(b, 'u'),
    ])
    expect(refused).toEqual(['CONNECTION_LIMIT', 'CONNECTION_LIMIT', 429, 429])
    for (const node of [a, b]) expect(await presence(node, 'u')).toBe(3)
    expect(await outcomeOf(a, 'other')).toBe('open')
    second.client.close()
    await second.client.closed
    await eventually(async () => (await presence(a, 'u')) === 2)
    expect(await outcomeOf(a, 'u')).toBe('open')
    expect(await outcomeOf(b, 'u')).toBe('CONNECTION_LIMIT')
  }, 30_000)

  test('per tenant counts all nodes, from a second later on', async () => {
    await using cluster = await startPair({
      TENANT_ENABLED: 'true',
      TENANT_DEFAULT_MAX_CONNECTIONS: '4',
      TENANT_OVERRIDES: '{"large":{"max_connections":5}}',
    })
    const [a, b] = cluster.nodes
    for (const [tenant, most] of [
      ['small', 4],
      ['large', 5],
    ] as const) {
      const claims = { tenant_id: tenant }
      for (let n = 0; n < most; n++)
        expect(await outcomeOf(n % 2 === 0 ? a : b, `u${n}`, claims)).toBe('open')
      // A node may use a count that is a second old.
      for (const node of [a, b])
        await eventually(async () => {
          const { client, outcome } = await tryOpen(node, 'more', claims)
          client.close()
          await client.closed
          return outcome === 'CONNECTION_LIMIT'
        })
      const { stats } = (await a.get(`/api/v1/tenants/${tenant}`)).json
      expect(stats.active_connections).toBe(most)
    }
    expect(await outcomeOf(a, 'u0', { tenant_id: 'other' })).toBe('open')
  }, 30_000)

  test('per user holds on each node under fifty simultaneous connects, and over both afterwards', async () => {
    await using cluster = await startPair()
    const { nodes } = cluster
    const tried = await Promise.all(
      Array.from({ length: 50 }, (_, n) => tryOpen(nodes[n % 2 === 0 ? 0 : 1], 'u')),
    )
    const opened = tried.filter(({ outcome }) => outcome === 'open').length
    expect(opened).toBeGreaterThanOrEqual(5)
    const { connections, nodes: counts } = (await nodes[0].get('/api/v1/users/u/presence')).json
    expect(connections).toBe(opened)
    for (const { connections: here } of counts) expect(here).toBeLessThanOrEqual(5)
    for (const node of nodes) expect(await outcomeOf(node, 'u')).toBe('CONNECTION_LIMIT')
    for (const { client } of tried) client.close()
    await eventually(async () => (await presence(nodes[1], 'u')) === 0)
    for (let n = 0; n < 5; n++) expect(await outcomeOf(nodes[n % 2 === 0 ? 0 : 1], 'u')).toBe('open')
    expect(await outcomeOf(nodes[0], 'u')).toBe('CONNECTION_LIMIT')
  }, 60_000)

  test('of a node counts this node only', async () => {
    await using cluster = await startPair({ WEBSOCKET_MAX_CONNECTIONS: '1' })
    const [a, b] = cluster.nodes
    expect(await outcomeOf(a, 'u')).toBe('open')
    expect(await outcomeOf(b, 'v')).toBe('open')
    expect(await outcomeOf(a, 'w')).toBe('CONNECTION_LIMIT')
  }, 30_000)

  test('leaves out a frozen node, and a node without Redis counts its own connections', async () => {
    await using cluster = await startPair({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' })
    const [node] = cluster.nodes
    const { url } = cluster.redis
    await using frozen = await startService({ NODE_ID: 'p', STORE_URL: url, BUS_URL: url })
    const process = { ...node, url: frozen.url, port: frozen.port }
    using _ = (await tryOpen(process, 'u')).client
    await eventually(async () => (await presence(node, 'u')) === 1)
    expect(await outcomeOf(node, 'u')).toBe('CONNECTION_LIMIT')
    globalThis.process.kill(frozen.pid, 'SIGSTOP')
    expect(await outcomeOf(node, 'u')).toBe('open')
    expect(await outcomeOf(node, 'u')).toBe('CONNECTION_LIMIT')
    await cluster.redis.kill()
    await eventually(async () => (await node.get('/health')).json.bus.status === 'unavailable')
    const over = await socketOf(node, 'u')
    expect(await over.next()).toMatchObject({ code: 'CONNECTION_LIMIT' })
    using other = await socketOf(node, 'v')
    other.send({ type: 'Ping' })
    expect(await other.next()).toEqual({ type: 'pong' })
  }, 30_000)

  test('is not kept full by streams of another node whose clients have gone', async () => {
    await using cluster = await startPair({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' })
    const [a, b] = cluster.nodes
    using proxy = startLazyProxy(a.port)
    const token = await a.token('u')
    for (let n = 0; n < 3; n++) {
      const stream = await fetch(`http://127.0.0.1:${proxy.port}/sse?token=${token}`)
      expect(stream.status).toBe(200)
      await stream.body?.cancel()
      const socket = await connectSocket(`${b.url}/ws?token=${token}&cursor=`)
      expect(await socket.next()).toMatchObject({ type: 'connected' })
      socket.close()
      await socket.closed
      await eventually(async () => (await presence(a, 'u')) === 0)
    }
  }, 30_000)
})
