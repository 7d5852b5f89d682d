import { describe, expect, test } from 'bun:test'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { createTestClock } from '../support/clock.ts'
import { eventually, settle } from '../support/visit.ts'

const seconds = () => Math.floor(Date.now() / 1000)
const OLD_SECRET = 'the-secret-before-of-at-least-32-bytes'

interface Signer {
  readonly jwk: JWK
  token(claims?: Record<string, unknown>, kid?: string): Promise<string>
}

async function signer(kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' },
    token: (claims = {}, named = kid) =>
      new SignJWT({ sub: 'u', exp: seconds() + 30 * 86_400, ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: named })
        .sign(privateKey),
  }
}

const [ann, bob] = [await signer('ann'), await signer('bob')]

type Answer = () => Response | Promise<Response>

const shown =
  (...signers: readonly Signer[]): Answer =>
  () =>
    Response.json({ keys: signers.map(({ jwk }) => jwk) })

/** A key server and a service that uses it. */
async function start(env: Record<string, string> = {}, answer: Answer = shown(ann)) {
  const state = { visits: 0, answer }
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => {
      state.visits++
      return state.answer()
    },
  })
  const clock = createTestClock()
  const app = await startTestApp(
    { JWT_SECRET: '', JWT_JWKS_URL: `${server.url}keys`, WEBSOCKET_CONNECTION_TIMEOUT: '3600', ...env },
    { clock },
  )
  return Object.assign(state, {
    app,
    clock,
    show: (...signers: readonly Signer[]) => {
      state.answer = shown(...signers)
    },
    [Symbol.asyncDispose]: async () => {
      await app[Symbol.asyncDispose]()
      await server.stop(true)
    },
  })
}

/** Results of one token over `/ws`, `/sse` and HTTP. */
async function fateOf(app: TestApp, token: string): Promise<string> {
  const [socket, stream, me] = await Promise.all([
    connectSocket(`${app.url}/ws?token=${token}`).then(
      client => {
        client.close()
        return 101
      },
      async () => (await fetch(`${app.url}/ws?token=${token}`)).status,
    ),
    connectStream(`${app.url}/sse?token=${token}`).then(
      client => {
        client.close()
        return 200
      },
      error => Number(/refused: (\d+)/.exec(String(error))?.[1]),
    ),
    fetch(`${app.url}/api/v1/me/notifications?token=${token}`).then(({ status }) => status),
  ])
  return [socket, stream, me].join(' ')
}

const TAKEN = '101 200 200'
const REFUSED = '401 401 401'
const status = async (app: TestApp, token: string) =>
  (await fetch(`${app.url}/api/v1/me/notifications?token=${token}`)).status

describe('tokens signed by a key set', () => {
  test('are rejected until the first key set arrives, without delaying the start, and then accepted', async () => {
    const gate = Promise.withResolvers<Response>()
    await using keys = await start({}, () => gate.promise)
    const { app } = keys
    expect(await fateOf(app, await ann.token())).toBe(REFUSED)
    expect((await app.get('/health/ready')).status).toBe(200)
    gate.resolve(Response.json({ keys: [ann.jwk] }))
    await eventually(async () => (await status(app, await ann.token())) === 200)
    expect(await fateOf(app, await ann.token())).toBe(TAKEN)
    const reasons = app.lines.filter(({ event }) => event === 'auth.refused').map(({ reason }) => reason)
    expect(new Set(reasons.slice(0, 3))).toEqual(new Set(['no key set']))
  })

  test('follow a rotation: the new key is accepted at once, the old one while the set lists it', async () => {
    await using keys = await start()
    const { app } = keys
    await eventually(async () => (await status(app, await ann.token())) === 200)
    keys.show(ann, bob)
    expect(await fateOf(app, await bob.token())).toBe(TAKEN)
    expect(await fateOf(app, await ann.token())).toBe(TAKEN)
    keys.show(bob)
    keys.clock.jump(601)
    await eventually(async () => (await status(app, await ann.token())) === 401)
    expect(await fateOf(app, await bob.token())).toBe(TAKEN)
    expect(await fateOf(app, await ann.token())).toBe(REFUSED)
  })

  test('are verified with the last good set for a day of outage, then with the next set', async () => {
    await using keys = await start()
    const { app, clock } = keys
    const token = await ann.token()
    await eventually(async () => (await status(app, token)) === 200)
    keys.answer = () => new Response('away', { status: 500 })
    for (const hours of [1, 10, 12]) {
      clock.jump(hours * 3_600)
      expect([hours, await fateOf(app, token)]).toEqual([hours, TAKEN])
    }
    clock.jump(3_600)
    expect(await fateOf(app, token)).toBe(REFUSED)
    expect(app.lines.some(({ event }) => event === 'auth.key_set_unavailable')).toBe(true)
    keys.show(ann)
    clock.jump(31)
    await eventually(async () => (await status(app, token)) === 200)
  })

  test('with unknown key ids cause at most one request for keys in 30 seconds', async () => {
    await using keys = await start()
    const { app, clock } = keys
    await eventually(async () => (await status(app, await ann.token())) === 200)
    const storm = async () => {
      const tokens = await Promise.all(Array.from({ length: 40 }, (_, n) => bob.token({}, `made-up-${n}`)))
      const statuses = await Promise.all(tokens.map(token => status(app, token)))
      expect(new Set(statuses)).toEqual(new Set([401]))
    }
    const before = keys.visits
    await storm()
    await storm()
    expect(keys.visits - before).toBe(1)
    clock.jump(25)
    await storm()
    expect(keys.visits - before).toBe(1)
    clock.jump(10)
    await storm()
    expect(keys.visits - before).toBe(2)
    expect(await status(app, await ann.token())).toBe(200)
  })

  test('are never verified with a secret, and a public key never serves as one', async () => {
    await using keys = await start({ JWT_SECRET: SECRET, JWT_ALGORITHMS: 'ES256' })
    const { app } = keys
    await eventually(async () => (await status(app, await ann.token())) === 200)
    expect(await fateOf(app, await app.token('u'))).toBe(REFUSED)
    const forged = await new SignJWT({ sub: 'u', exp: seconds() + 60 })
      .setProtectedHeader({ alg: 'HS256', kid: 'ann' })
      .sign(new TextEncoder().encode(JSON.stringify(ann.jwk)))
    expect(await fateOf(app, forged)).toBe(REFUSED)
  })

  test('of both kinds are accepted when both are allowed', async () => {
    await using keys = await start({ JWT_SECRET: SECRET, JWT_ALGORITHMS: 'ES256,HS256' })
    const { app } = keys
    await eventually(async () => (await status(app, await ann.token())) === 200)
    expect(await fateOf(app, await app.token('u'))).toBe(TAKEN)
    expect(await fateOf(app, await bob.token())).toBe(REFUSED)
  })

  test('may be presented on an open connection', async () => {
    await using keys = await start()
    const { app } = keys
    await eventually(async () => (await status(app, await ann.token())) === 200)
    using client = await connectSocket(`${app.url}/ws?token=${await ann.token()}`)
    keys.show(bob)
    client.send({ type: 'Auth', payload: { token: await bob.token({ roles: ['r'] }) } })
    client.send({ type: 'Ping' })
    expect((await client.take(2)).map(({ type }) => type)).toEqual(['authenticated', 'pong'])
  })
})

describe('tokens signed with a secret', () => {
  const by = (secret: string, claims: Record<string, unknown> = {}, alg = 'HS256') =>
    new SignJWT({ sub: 'u', exp: seconds() + 600, ...claims })
      .setProtectedHeader({ alg })
      .sign(new TextEncoder().encode(secret))

  test('are accepted with the current and the previous secret', async () => {
    await using app = await startTestApp({ JWT_SECRET_PREVIOUS: OLD_SECRET })
    for (const [secret, fate] of [
      [SECRET, TAKEN],
      [OLD_SECRET, TAKEN],
      ['no-secret-of-ours-though-of-32-bytes', REFUSED],
    ] as const)
      expect([secret, await fateOf(app, await by(secret))]).toEqual([secret, fate])
    using client = await connectSocket(`${app.url}/ws?token=${await by(OLD_SECRET)}`)
    client.send({ type: 'Auth', payload: { token: await by(SECRET) } })
    expect((await client.next()).type).toBe('authenticated')
  })

  test('are rejected with the previous secret when it is not set', async () => {
    await using app = await startTestApp()
    expect(await fateOf(app, await by(OLD_SECRET))).toBe(REFUSED)
  })

  test('are accepted only with an allowed algorithm', async () => {
    await using app = await startTestApp({ JWT_SECRET_PREVIOUS: OLD_SECRET, JWT_ALGORITHMS: 'HS384,HS512' })
    expect(await fateOf(app, await by(OLD_SECRET, {}, 'HS384'))).toBe(TAKEN)
    expect(await fateOf(app, await by(SECRET, {}, 'HS512'))).toBe(TAKEN)
    expect(await fateOf(app, await by(SECRET))).toBe(REFUSED)
  })
})

test('a stream and a socket end at `exp` plus leeway, not before, also with a key set', async () => {
  await using keys = await start({ JWT_LEEWAY_SECONDS: '30' })
  const { app, clock } = keys
  await eventually(async () => (await status(app, await ann.token())) === 200)
  const token = await ann.token({ exp: seconds() + 600 })
  using socket = await connectSocket(`${app.url}/ws?token=${token}`)
  using stream = await connectStream(`${app.url}/sse?token=${token}`)
  await stream.nextOf('connected')
  clock.jump(620)
  expect((await stream.nextOf('token_expiring')).data).toEqual({ type: 'token_expiring', in: 0 })
  expect(await settle(socket)).toEqual([])
  expect(stream.inbox.all.some(({ event }) => event === 'error')).toBe(false)
  clock.jump(12)
  expect(await socket.closed).toEqual({ code: 4401, reason: 'token expired' })
  await stream.closed
  expect(stream.inbox.all.at(-1)).toMatchObject({ event: 'error', data: { code: 'UNAUTHORIZED' } })
  expect(await fateOf(app, token)).toBe(REFUSED)
})
