import { describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'
import type { SocketClient } from '../support/client.ts'
import { sendIn, waysTo } from '../support/tenants.ts'
import { eventually, settle, socketOf, streamOf } from '../support/visit.ts'

const TENANCY = {
  TENANT_ENABLED: 'true',
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
  TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER: '0',
}
/** Pairs collide when joined by nothing or by a character of theirs: `a` `b.b`, `a.b` `b`. */
const NAMES = ['a', 'b', 'ab', 'bb', 'a.b', 'b.b', 'a_b', 'b_b', 'a-b', 'b-b', 'default']

const payloads = (messages: readonly { readonly type: string; readonly payload?: unknown }[]) =>
  messages.filter(({ type }) => type === 'notification').map(({ payload }) => payload)

const inTenant = (app: TestApp, tenant: string, user: string, cursor?: string): Promise<SocketClient> =>
  socketOf(app, user, { claims: { tenant_id: tenant }, ...(cursor !== undefined && { cursor }) })

async function subscribe(client: SocketClient, ...channels: readonly string[]): Promise<void> {
  client.send({ type: 'Subscribe', payload: { channels } })
  await client.nextOf('subscribed')
}

describe('two tenants with the same users and channels', () => {
  for (const QUEUE_ENABLED of ['true', 'false'])
    for (const way of waysTo('u', 'c', { type: 'Users', value: ['u'] }))
      test(`${way.name} reaches only the tenant of the sender, QUEUE_ENABLED=${QUEUE_ENABLED}`, async () => {
        await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED })
        using own = await inTenant(app, 'acme', 'u')
        using other = await inTenant(app, 'globex', 'u')
        using nobodys = await socketOf(app, 'u')
        using stream = await streamOf(app, 'u', { claims: { tenant_id: 'globex' } })
        for (const client of [own, other, nobodys]) await subscribe(client, 'c')
        expect(await sendIn(app, 'acme', way, 'for acme')).toMatchObject({ delivered_to: 1, queued: 0 })
        expect(payloads(await settle(own))).toEqual(['for acme'])
        for (const client of [other, nobodys]) expect(await settle(client)).toEqual([])
        const [last] = waysTo('u', 'c')
        if (last !== undefined) await sendIn(app, 'globex', last, 'the end')
        expect((await stream.nextOf('notification')).data.payload).toBe('the end')
      })

  for (const audience of [
    { type: 'All' },
    { type: 'Users', value: ['u'] },
    { type: 'Roles', value: ['admin'] },
    { type: 'Channels', value: ['c'] },
  ])
    test(`a broadcast to ${audience.type} stays in its tenant`, async () => {
      await using app = await startTestApp(TENANCY)
      const claims = { roles: ['admin'] }
      using own = await socketOf(app, 'u', { claims: { ...claims, tenant_id: 'acme' } })
      using other = await socketOf(app, 'u', { claims: { ...claims, tenant_id: 'globex' } })
      for (const client of [own, other]) await subscribe(client, 'c')
      for (const way of waysTo('u', 'c', audience).filter(({ name }) => name.includes('broadcast')))
        expect((await sendIn(app, 'acme', way, way.name)).delivered_to).toBe(1)
      expect(payloads(await settle(own))).toEqual(['/broadcast', 'batch to broadcast'])
      expect(await settle(other)).toEqual([])
    })
})

test('The same user id in two tenants: neither sees anything of the other, nor do names that resemble each other.', async () => {
  await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED: 'true' })
  const clients = new Map<string, SocketClient>()
  for (const tenant of NAMES)
    for (const user of NAMES) {
      const client = await inTenant(app, tenant, user)
      // Each user subscribes to the channel of the same name.
      await subscribe(client, user)
      clients.set(`${tenant} ${user}`, client)
    }
  const expected = new Map<string, unknown[]>([...clients.keys()].map(name => [name, []]))
  for (const tenant of NAMES)
    for (const user of NAMES) {
      const [toUser, , , toChannel] = waysTo(user, user)
      if (toUser === undefined || toChannel === undefined) throw new Error('no such way')
      for (const way of [toUser, toChannel]) {
        const payload = [way.name, tenant, user]
        expect([payload, (await sendIn(app, tenant, way, payload)).delivered_to]).toEqual([payload, 1])
        expected.get(`${tenant} ${user}`)?.push(payload)
      }
    }
  for (const [name, client] of clients) {
    expect([name, payloads(await settle(client))]).toEqual([name, expected.get(name) ?? []])
    client.close()
  }
})

test('a user id that begins with the name of another tenant and a colon stays apart from it', async () => {
  await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED: 'true' })
  using one = await inTenant(app, 'a', 'b:c')
  using other = await inTenant(app, 'a.b', 'c')
  using third = await inTenant(app, 'a', 'a:b:c')
  const [way] = waysTo('b:c', 'c')
  if (way === undefined) throw new Error('no such way')
  expect((await sendIn(app, 'a', way, 1)).delivered_to).toBe(1)
  expect([payloads(await settle(one)), await settle(other), await settle(third)]).toEqual([[1], [], []])
})

describe('the log of a user', () => {
  const [way] = waysTo('u', 'c')
  if (way === undefined) throw new Error('no such way')

  test('is separate for each tenant: a user of the same id elsewhere receives none of it', async () => {
    await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED: 'true' })
    for (const [tenant, payload] of [
      ['acme', 1],
      ['globex', 2],
      ['acme', 3],
      ['default', 4],
    ] as const)
      expect(await sendIn(app, tenant, way, payload)).toMatchObject({ status: 'queued', queued: 1 })
    const got = async (tenant: string, count: number) => {
      using client = await inTenant(app, tenant, 'u', '')
      const { replayed } = await client.nextOf('connected')
      const messages = await client.take(count)
      return [replayed, messages.map(({ payload, cursor }) => [payload, cursor.split(':')[1]])]
    }
    expect(await got('acme', 2)).toEqual([
      2,
      [
        [1, '1'],
        [3, '2'],
      ],
    ])
    expect(await got('globex', 1)).toEqual([1, [[2, '1']]])
    expect(await got('default', 1)).toEqual([1, [[4, '1']]])
    expect(await got('other', 0)).toEqual([0, []])
    expect((await app.get('/health')).json.queue).toMatchObject({ total_messages: 4, users_with_queue: 3 })
  })

  test('ignores receipts of the same user id in another tenant', async () => {
    await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED: 'true' })
    for (const tenant of ['acme', 'globex']) await sendIn(app, tenant, way, tenant)
    using reader = await inTenant(app, 'acme', 'u')
    expect(payloads(await reader.take(1))).toEqual(['acme'])
    // The pong behind the notification arrives before this answer.
    await settle(reader)
    reader.close()
    await reader.closed
    using again = await inTenant(app, 'acme', 'u')
    expect(await settle(again)).toEqual([])
    using other = await inTenant(app, 'globex', 'u')
    expect(payloads(await other.take(1))).toEqual(['globex'])
  })

  test('does not accept cursors of another tenant’s log', async () => {
    await using app = await startTestApp({ ...TENANCY, QUEUE_ENABLED: 'true' })
    for (let n = 1; n <= 3; n++) await sendIn(app, 'acme', way, `acme ${n}`)
    await sendIn(app, 'globex', way, 'globex 1')
    using own = await inTenant(app, 'acme', 'u', '')
    await own.nextOf('connected')
    const { cursor } = (await own.take(3)).at(-1) ?? {}
    using foreign = await inTenant(app, 'globex', 'u', cursor)
    expect(await foreign.nextOf('connected')).toMatchObject({ recovered: false, reason: 'epoch_changed' })
    expect(payloads(await foreign.take(1))).toEqual(['globex 1'])
  })
})

describe('the tenant of a client', () => {
  test('is the claim `tenant_id`, or the default tenant without it', async () => {
    await using app = await startTestApp(TENANCY)
    const rows: [claims: Record<string, unknown>, tenant: string][] = [
      [{}, 'default'],
      [{ tenant_id: null }, 'default'],
      [{ tenant_id: 'default' }, 'default'],
      [{ tenant_id: 'A-z_0.9'.padEnd(64, 'x') }, 'A-z_0.9'.padEnd(64, 'x')],
    ]
    for (const [claims, tenant] of rows) {
      using client = await socketOf(app, 'u', { claims })
      const [way] = waysTo('u', 'c')
      if (way !== undefined) expect((await sendIn(app, tenant, way, 1)).delivered_to).toBe(1)
      client.close()
      await client.closed
    }
  })

  test.each(['', 'a b', 'a:b', 'ä', 'x'.repeat(65), 5, [['acme']], { id: 'acme' }])(
    'is never %j: such a claim is 401',
    async tenant_id => {
      await using app = await startTestApp(TENANCY)
      for (const path of ['/ws', '/sse']) {
        const answer = await app.get(`${path}?token=${await app.token('u', { tenant_id })}`)
        expect([answer.status, answer.json.error.code]).toEqual([401, 'UNAUTHORIZED'])
      }
    },
  )
})

/** Results of simultaneous connects: how many stay, and the answers to the others. */
async function storm(app: TestApp, count: number, visit: (n: number) => Promise<SocketClient>) {
  const clients = await Promise.all(Array.from({ length: count }, (_, n) => visit(n)))
  await eventually(async () => (await app.get('/health')).json.connections.total + refused(app) === count)
  const messages = await Promise.all(
    clients.map(async client => {
      client.send({ type: 'Ping' })
      return client.next()
    }),
  )
  return { clients, codes: messages.map(({ type, code }) => code ?? type).sort() }
}

const refused = ({ app: { stats } }: TestApp): number =>
  Object.values(stats.connectionsRefused).reduce((sum, count) => sum + count, 0)

const only = (kept: number, of: number) => [
  ...Array(of - kept).fill('CONNECTION_LIMIT'),
  ...Array(kept).fill('pong'),
]

describe('connections', () => {
  test('of one user are limited per tenant: of fifty at once five stay, and five more in another tenant', async () => {
    await using app = await startTestApp({ TENANT_ENABLED: 'true' })
    const { clients, codes } = await storm(app, 50, () => inTenant(app, 'acme', 'u'))
    expect(codes).toEqual(only(5, 50))
    expect(app.app.stats.connectionsRefused).toMatchObject({ user: 45, tenant: 0 })
    const others = await Promise.all(Array.from({ length: 5 }, () => inTenant(app, 'globex', 'u')))
    expect((await app.get('/health')).json.connections.total).toBe(10)
    for (const client of [...clients, ...others]) client.close()
  })

  test('of a tenant are limited over WebSocket and SSE: of fifty users at once only the allowed number stays', async () => {
    await using app = await startTestApp({ TENANT_ENABLED: 'true', TENANT_DEFAULT_MAX_CONNECTIONS: '7' })
    const { clients, codes } = await storm(app, 50, n => inTenant(app, 'acme', `u${n}`))
    expect(codes).toEqual(only(7, 50))
    expect(app.app.stats.connectionsRefused).toMatchObject({ user: 0, tenant: 43 })
    const refusal = await app.get(`/sse?token=${await app.token('v', { tenant_id: 'acme' })}`)
    expect([refusal.status, refusal.json.error.code]).toEqual([429, 'CONNECTION_LIMIT'])
    expect(refusal.headers.get('retry-after')).toBe('5')
    using stream = await streamOf(app, 'v', { claims: { tenant_id: 'globex' } })
    await stream.nextOf('connected')
    for (const client of clients) client.close()
    await eventually(async () => (await app.get('/health')).json.connections.total === 1)
    using again = await inTenant(app, 'acme', 'v')
    expect(await settle(again)).toEqual([])
  })

  const OVERRIDES = JSON.stringify({
    big: { max_connections: 4, max_connections_per_user: 3 },
    free: { max_connections: 0, max_connections_per_user: 0 },
    part: { max_connections_per_user: 1 },
  })
  test.each<
    [what: string, env: Record<string, string>, tenant: string, users: string, codes: (number | string)[]]
  >([
    ['an override of the tenant', {}, 'big', 'uuuuvv', [4, 'user', 'tenant']],
    ['the tenant default', {}, 'acme', 'uuuvv', [3, 'user', 'tenant']],
    ['an override of one limit, with the default for the other', {}, 'part', 'uuvwx', [3, 'user', 'tenant']],
    ['the general limit, without a limit of the tenant', {}, 'free', 'uuuuuuvvv', [8, 'user']],
    ['no limit at all', { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' }, 'free', 'u'.repeat(12), [12]],
    [
      'the general limit, when it is the smaller one',
      { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' },
      'big',
      'uuv',
      [2, 'user'],
    ],
    [
      'the tenant limit, without a general limit',
      { WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' },
      'acme',
      'uuu',
      [2, 'user'],
    ],
    [
      'the limit of the node, before all others',
      { WEBSOCKET_MAX_CONNECTIONS: '1' },
      'acme',
      'uuu',
      [1, 'total', 'total'],
    ],
  ])('are bounded by %s', async (_, env, tenant, users, expected) => {
    await using app = await startTestApp({
      TENANT_ENABLED: 'true',
      TENANT_DEFAULT_MAX_CONNECTIONS: '3',
      TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER: '2',
      TENANT_OVERRIDES: OVERRIDES,
      ...env,
    })
    const said: (number | string)[] = []
    let open = 0
    for (const user of users) {
      const client = await inTenant(app, tenant, user)
      client.send({ type: 'Ping' })
      const { type, message } = await client.next()
      if (type === 'pong') open++
      else said.push(/\((\w+)\)/.exec(message)?.[1] ?? message)
    }
    expect([open, ...said]).toEqual(expected)
  })

  test('ignore tenant limits with tenancy off', async () => {
    await using app = await startTestApp({
      TENANT_DEFAULT_MAX_CONNECTIONS: '1',
      TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER: '1',
      TENANT_DEFAULT_MAX_SUBSCRIPTIONS_PER_CONNECTION: '1',
      TENANT_OVERRIDES: '{"default":{"max_connections":1,"max_connections_per_user":1}}',
    })
    const { clients, codes } = await storm(app, 6, () => inTenant(app, 'acme', 'u'))
    expect(codes).toEqual(only(5, 6))
    using client = await socketOf(app, 'v')
    client.send({ type: 'Subscribe', payload: { channels: ['a', 'b'] } })
    expect(await client.next()).toEqual({ type: 'subscribed', payload: ['a', 'b'] })
    for (const each of clients) each.close()
  })
})

test.each<[everybody: string, tenant: string, accepted: number]>([
  ['4', 'acme', 2],
  ['1', 'acme', 1],
  ['0', 'acme', 2],
  ['4', 'big', 3],
  ['2', 'big', 2],
  ['4', 'free', 4],
  ['0', 'free', 6],
])(
  'with a general limit of %s subscriptions, a connection of tenant %s may have %i',
  async (everybody, tenant, accepted) => {
    await using app = await startTestApp({
      TENANT_ENABLED: 'true',
      TENANT_DEFAULT_MAX_SUBSCRIPTIONS_PER_CONNECTION: '2',
      TENANT_OVERRIDES:
        '{"big":{"max_subscriptions_per_connection":3},"free":{"max_subscriptions_per_connection":0}}',
      WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: everybody,
    })
    using client = await inTenant(app, tenant, 'u')
    const channels = ['a', 'b', 'c', 'd', 'e', 'f']
    client.send({ type: 'Subscribe', payload: { channels } })
    expect(await client.next()).toEqual({ type: 'subscribed', payload: channels.slice(0, accepted) })
    if (accepted === channels.length) return
    const { code, message } = await client.next()
    expect([code, message]).toEqual([
      'SUBSCRIPTION_ERROR',
      channels
        .slice(accepted)
        .map(channel => `${channel}: limit of ${accepted} subscriptions reached`)
        .join('; '),
    ])
    // At the limit, held subscriptions stay.
    client.send({ type: 'Subscribe', payload: { channels: ['a'] } })
    expect(await client.next()).toEqual({ type: 'subscribed', payload: ['a'] })
  },
)
