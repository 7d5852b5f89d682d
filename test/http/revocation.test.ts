import { describe, expect, test } from 'bun:test'
import type { Environment } from '../../src/config/config.ts'
import { userTopic } from '../../src/notification/topic.ts'
import type { Store } from '../../src/store/store.ts'
import { SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { breakingRevocations, lateRevocations } from '../support/revocations.ts'
import { eventually, send, settle, socketOf, streamOf } from '../support/visit.ts'

const seconds = () => Math.floor(Date.now() / 1000)
const DAY = 86_400

const revoke = (app: TestApp, user: string, before: number | string, headers?: Record<string, string>) =>
  app.post(`/api/v1/users/${user}/disconnect`, { issued_before: before }, headers)

/** Results of the three ways to connect with a token, and of a renewal. */
async function fateOf(app: TestApp, token: string, claims: Record<string, unknown> = {}): Promise<string> {
  const ways = await Promise.all([
    fetch(`${app.url}/ws?token=${token}`).then(({ status }) => (status === 426 ? 200 : status)),
    connectStream(`${app.url}/sse?token=${token}`).then(
      stream => {
        stream.close()
        return 200
      },
      error => Number(/refused: (\d+)/.exec(String(error))?.[1]),
    ),
    fetch(`${app.url}/api/v1/me/notifications?token=${token}`).then(({ status }) => status),
  ])
  using open = await socketOf(app, 'u', { claims: { iat: seconds() + 50, ...claims } })
  open.send({ type: 'Auth', payload: { token } })
  const { type } = await open.next()
  return [...ways, type === 'authenticated' ? 200 : type].join(' ')
}

const TAKEN = '200 200 200 200'
const REFUSED = '401 401 401 error'

describe('a revoked token is rejected everywhere', () => {
  const ROWS: readonly (readonly [
    what: string,
    claims: Record<string, unknown>,
    before: number | string,
    fate: string,
  ])[] = [
    ['made a second before', { iat: seconds() - 1 }, seconds(), REFUSED],
    ['made then', { iat: seconds() }, seconds(), TAKEN],
    ['made later', { iat: seconds() + 5 }, seconds(), TAKEN],
    ['silent about when it was made', {}, seconds(), REFUSED],
    ['silent, and the moment is 1970', {}, 0, REFUSED],
    ['made after 1970', { iat: 1 }, 0, TAKEN],
    ['made a second before a timestamp', { iat: seconds() - 1 }, new Date().toISOString(), REFUSED],
    ['made before by a fraction', { iat: 1_700_000_000 }, '2023-11-14T22:13:20.001Z', REFUSED],
    ['made then, in another zone', { iat: 1_700_000_000 }, '2023-11-15T00:13:20+02:00', TAKEN],
    ['made before, in another zone', { iat: 1_699_999_999 }, '2023-11-15T00:13:20+02:00', REFUSED],
  ]
  for (const [what, claims, before, fate] of ROWS)
    test(`according to its issue time: ${what}`, async () => {
      await using app = await startTestApp()
      const token = await app.token('u', claims)
      expect(await fateOf(app, token)).toBe(TAKEN)
      expect((await revoke(app, 'u', before)).status).toBe(200)
      expect(await fateOf(app, token)).toBe(fate)
    })

  test('with the same answer as any invalid token, and a log line for the operator', async () => {
    await using app = await startTestApp()
    const token = await app.token('u')
    await revoke(app, 'u', seconds())
    const [revoked, wrong] = await Promise.all(
      [token, `${token}x`].map(async each => {
        const response = await fetch(`${app.url}/sse?token=${each}`)
        return [response.status, response.headers.get('www-authenticate'), await response.json()]
      }),
    )
    expect(revoked).toEqual(wrong)
    expect(revoked?.slice(0, 2)).toEqual([401, 'Bearer'])
    const lines = app.lines.filter(({ event }) => event === 'auth.refused')
    expect(lines.map(({ kind }) => kind).sort()).toEqual(['jwt', 'revoked'])
  })

  test('only if it belongs to that user of that tenant', async () => {
    await using app = await startTestApp({ TENANT_ENABLED: 'true' })
    const tokens = {
      u: await app.token('u', { tenant_id: 'acme' }),
      elsewhere: await app.token('u', { tenant_id: 'globex' }),
      nowhere: await app.token('u'),
      other: await app.token('v', { tenant_id: 'acme' }),
    }
    await revoke(app, 'u', seconds(), { 'x-tenant-id': 'acme' })
    const statuses: Record<string, number> = {}
    for (const [name, token] of Object.entries(tokens))
      statuses[name] = (await fetch(`${app.url}/api/v1/me/notifications?token=${token}`)).status
    expect(statuses).toEqual({ u: 401, elsewhere: 200, nowhere: 200, other: 200 })
  })

  test('but not after a disconnect without `issued_before`', async () => {
    await using app = await startTestApp()
    const token = await app.token('u')
    await app.post('/api/v1/users/u/disconnect', { reason: 'moved' })
    expect(await fateOf(app, token)).toBe(TAKEN)
  })
})

describe('a revocation lasts a day', () => {
  for (const [what, seen] of [
    ['when no token was seen', undefined],
    ['when only a short-lived token was seen', { iat: seconds() - 5, exp: seconds() + 600 }],
    ['when a token of a month was seen', { iat: seconds(), exp: seconds() + 30 * DAY }],
  ] as const)
    test(what, async () => {
      const clock = createTestClock()
      await using app = await startTestApp({ JWT_LEEWAY_SECONDS: '0' }, { clock })
      const at = async (user: string, claims: Record<string, unknown>) => {
        const token = await app.token(user, claims)
        return (await fetch(`${app.url}/api/v1/me/notifications?token=${token}`)).status
      }
      const long = { exp: seconds() + 30 * DAY }
      if (seen !== undefined) expect(await at('someone', seen)).toBe(200)
      await revoke(app, 'u', seconds())
      clock.jump(DAY - 5)
      expect(await at('u', long)).toBe(401)
      clock.jump(10)
      expect(await at('u', long)).toBe(200)
    })
})

describe('a tenant with 10,000 revocations in force', () => {
  const start = async () => {
    const made = async ({ revocations }: Store) => {
      for (let n = 0; n < 10_000; n++)
        await revocations.revoke(userTopic('acme', `u${n}`), Date.now(), Date.now() + DAY * 1000)
    }
    let filled = Promise.resolve()
    const wrapStore = (store: Store): Store => {
      filled = awaitedLater(made(store))
      return store
    }
    const app = await startTestApp({ TENANT_ENABLED: 'true' }, { wrapStore })
    await filled
    return app
  }
  const ACME = { 'x-tenant-id': 'acme' }

  test('gets 429 for one more, and the connections of that user are closed nevertheless', async () => {
    await using app = await start()
    const client = await socketOf(app, 'another', { claims: { tenant_id: 'acme' } })
    const answer = await revoke(app, 'another', seconds() + 60, ACME)
    expect(answer).toMatchObject({ status: 429, json: { error: { code: 'TOO_MANY_REVOCATIONS' } } })
    expect(await client.closed).toMatchObject({ code: 4403 })
    // No revocation was recorded.
    const back = await socketOf(app, 'another', { claims: { tenant_id: 'acme' } })
    expect(await settle(back)).toEqual([])
  })

  test('may renew revocations and disconnect users, and does not limit other tenants', async () => {
    await using app = await start()
    expect((await revoke(app, 'u7', seconds(), ACME)).status).toBe(200)
    expect((await app.post('/api/v1/users/another/disconnect', {}, ACME)).status).toBe(200)
    const token = await app.token('u', { tenant_id: 'globex' })
    expect((await revoke(app, 'u', seconds() + 60, { 'x-tenant-id': 'globex' })).status).toBe(200)
    expect((await fetch(`${app.url}/api/v1/me/notifications?token=${token}`)).status).toBe(401)
  })
})

test('a disconnect does not close connections of other users', async () => {
  await using app = await startTestApp()
  using client = await socketOf(app, 'v')
  await revoke(app, 'u', seconds())
  expect(await settle(client)).toEqual([])
})

describe('a connect that races with a disconnect is closed or rejected', () => {
  test('if many connect during the disconnect, over WebSocket and SSE', async () => {
    await using app = await startTestApp({ WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0' })
    const token = await app.token('u', { iat: seconds() - 10 })
    const tries = Array.from({ length: 60 }, (_, n) =>
      n % 2 === 0
        ? connectSocket(`${app.url}/ws?token=${token}`).then(client => client.closed)
        : connectStream(`${app.url}/sse?token=${token}`).then(client => client.closed),
    )
    // Each is rejected or closed: an open one would block this wait. Some are rejected before the answer below.
    const ends = Promise.allSettled(tries)
    await revoke(app, 'u', seconds())
    await ends
    expect((await app.get('/api/v1/users/u/presence')).json.connections).toBe(0)
  })

  for (const transport of ['ws', 'sse'] as const)
    test(`if the store is asked before the disconnect and answers after it: ${transport}`, async () => {
      const asked = Promise.withResolvers<void>()
      const gate = Promise.withResolvers<void>()
      let first = true
      await using app = await startTestApp(
        {},
        {
          wrapStore: lateRevocations(async () => {
            if (!first) return
            first = false
            asked.resolve()
            await gate.promise
          }),
        },
      )
      const token = await app.token('u')
      const coming = awaitedLater(
        transport === 'ws'
          ? connectSocket(`${app.url}/ws?token=${token}`)
          : connectStream(`${app.url}/sse?token=${token}`),
      )
      await asked.promise
      expect((await revoke(app, 'u', seconds())).json.disconnected).toBe(0)
      gate.resolve()
      const client = await coming
      const end = await client.closed
      if (transport === 'ws') expect(end).toMatchObject({ code: 4403 })
      else expect(client.inbox.all.at(-1)).toMatchObject({ event: 'error', data: { code: 'FORBIDDEN' } })
      await eventually(async () => (await app.get('/health')).json.connections.total === 0)
    })
})

test('revocation works the same with a slow store', async () => {
  await using app = await startTestApp({}, { wrapStore: lateRevocations(() => Bun.sleep(2)) })
  const token = await app.token('u', { iat: seconds() - 10 })
  expect(await fateOf(app, token)).toBe(TAKEN)
  await revoke(app, 'u', seconds())
  expect(await fateOf(app, token)).toBe(REFUSED)
})

/** One client per transport, closed together. */
async function openAll(app: TestApp) {
  const v1 = await socketOf(app, 'u')
  const optedIn = await socketOf(app, 'u', { cursor: '' })
  const stream = await streamOf(app, 'u')
  return {
    v1,
    optedIn,
    stream,
    [Symbol.dispose]: () => {
      for (const client of [v1, optedIn, stream]) client.close()
    },
  }
}

describe('with a store that does not answer', () => {
  const BROKEN = { status: 503, json: { error: { code: 'STORE_UNAVAILABLE' } } }

  test('a revocation is 503 and closes no connection; a plain disconnect works', async () => {
    await using app = await startTestApp({}, { wrapStore: breakingRevocations('revoke') })
    using client = await socketOf(app, 'u')
    const answer = await revoke(app, 'u', seconds())
    expect(answer).toMatchObject(BROKEN)
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(await settle(client)).toEqual([])
    expect((await app.post('/api/v1/users/u/disconnect', {})).json.disconnected).toBe(1)
  })

  const startBreaking = async (env: Environment = {}) => {
    let isBroken = true
    const wrapStore = breakingRevocations('before', () => isBroken)
    const app = await startTestApp(env, { wrapStore })
    return {
      app,
      mend: () => {
        isBroken = false
      },
      [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
    }
  }

  test('requests with a token that cannot be checked read and change nothing', async () => {
    await using broken = await startBreaking()
    const { app } = broken
    const token = await app.token('u')
    expect(await app.get(`/api/v1/me/notifications?token=${token}`)).toMatchObject(BROKEN)
    using client = await socketOf(app, 'u')
    client.send({ type: 'Auth', payload: { token } })
    expect(await client.next()).toMatchObject({ type: 'error', code: 'UNAUTHORIZED' })
    expect(await settle(client)).toEqual([])
  })

  test('a new connection is accepted, and receives its log only when the store answers', async () => {
    await using broken = await startBreaking({ QUEUE_ENABLED: 'true' })
    const { app, mend } = broken
    await send(app, 'u', 1)
    using all = await openAll(app)
    const { v1, optedIn, stream } = all
    await send(app, 'u', 2)
    expect(await settle(v1)).toEqual([])
    expect([optedIn.inbox.all, stream.inbox.all.filter(({ event }) => event !== undefined)]).toEqual([[], []])
    mend()
    expect((await v1.take(2)).map(({ payload }) => payload)).toEqual([1, 2])
    expect((await optedIn.take(3)).map(({ type, payload }) => payload ?? type)).toEqual(['connected', 1, 2])
    expect((await stream.take(3)).map(({ event, data }) => data.payload ?? event)).toEqual([
      'connected',
      1,
      2,
    ])
  })

  test('a connection with a revoked token is closed when the store answers, and received nothing of the log', async () => {
    await using broken = await startBreaking({ QUEUE_ENABLED: 'true' })
    const { app, mend } = broken
    await send(app, 'u', 1)
    await revoke(app, 'u', seconds())
    using all = await openAll(app)
    const { v1, optedIn, stream } = all
    mend()
    for (const each of [v1, optedIn]) {
      expect(await each.closed).toMatchObject({ code: 4403 })
      expect(each.inbox.all.filter(({ type }) => type !== 'heartbeat')).toEqual([])
    }
    await stream.closed
    expect(stream.inbox.all.flatMap(({ event }) => event ?? [])).toEqual(['error'])
  })
})

test('log lines contain neither tokens nor times of a disconnect', async () => {
  await using app = await startTestApp()
  using _ = await streamOf(app, 'u')
  await app.post('/api/v1/users/u/disconnect', { reason: 'a-reason-of-ours', issued_before: 1_234_567_891 })
  const text = JSON.stringify(app.lines)
  for (const secret of [SECRET, 'a-reason-of-ours', '1234567891']) expect(text).not.toContain(secret)
})

test('the server asks the store for revocations only where it must', async () => {
  const asked: string[] = []
  const wrapStore = (store: Store): Store => ({
    ...store,
    revocations: {
      revoke: store.revocations.revoke,
      before: owner => {
        asked.push(owner)
        return store.revocations.before(owner)
      },
    },
  })
  await using app = await startTestApp({}, { wrapStore })
  using client = await socketOf(app, 'u')
  client.send({ type: 'Ping' })
  await client.next()
  await fetch(`${app.url}/sse?token=nonsense`)
  expect(asked).toEqual(['user:default:u', 'user:default:u'])
})
