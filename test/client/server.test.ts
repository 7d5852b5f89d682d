import { describe, expect, test } from 'bun:test'
import { createServerClient } from '../../client/src/server/index.ts'
import type { ServerOptions } from '../../client/src/server/types.ts'
import { API_KEY, SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually, socketOf } from '../support/visit.ts'

interface Events {
  'invoice.paid': { no: number }
  'room.open': null
}

const paid = (no: number) => ({ event_type: 'invoice.paid', payload: { no } }) as const

/** A client that notes how long it waits instead of waiting. */
function impatient(options: ServerOptions) {
  const waits: number[] = []
  const sleep = async (ms: number) => void waits.push(ms)
  return { client: createServerClient<Events>({ random: () => 0.5, sleep, ...options }), waits }
}

const keptFor = async (service: TestApp, user: string): Promise<readonly unknown[]> =>
  (await service.get(`/api/v1/users/${user}/notifications`)).json.notifications.map(
    ({ payload }: { payload: unknown }) => payload,
  )

/** Carries a request out; its answer may be lost. */
async function passOn(service: TestApp, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url)
  const { headers } = request
  return fetch(service.url + pathname, { method: 'POST', headers, body: await request.text() })
}

/** A server in front of the service that gives these answers first, each as often as it is listed. */
function startTroubled(service: TestApp, troubles: ((request: Request) => Response | Promise<Response>)[]) {
  const keys: (string | null)[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      keys.push(request.headers.get('idempotency-key'))
      const trouble = troubles.shift()
      if (trouble !== undefined) return trouble(request)
      return passOn(service, request)
    },
  })
  return { url: `http://127.0.0.1:${server.port}`, keys, [Symbol.asyncDispose]: () => server.stop(true) }
}

const refusal =
  (status: number, code: string, headers = {}) =>
  () =>
    Response.json({ error: { code, message: 'not now' } }, { status, headers })

test('every send reaches its target, with the names of the API', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const ara = createServerClient<Events>({ url: `${service.url}/`, apiKey: API_KEY })
  using ann = await socketOf(service, 'ann')
  ann.send({ type: 'Subscribe', payload: { channels: ['room'] } })
  await ann.nextOf('subscribed')
  expect(await ara.user('ann', { ...paid(1), priority: 'High', ttl: 60, correlation_id: 'c' })).toMatchObject(
    {
      status: 'delivered',
      delivered_to: 1,
    },
  )
  await ara.users(['ann', 'bob'], paid(2))
  await ara.channel('room', { event_type: 'room.open', payload: null })
  await ara.channels(['room', 'hall'], paid(3))
  await ara.broadcast({ ...paid(4), audience: { type: 'Users', value: ['ann'] } })
  const batch = await ara.batch([{ target: { type: 'user', value: 'ann' }, ...paid(5) }], {
    stop_on_error: true,
  })
  expect(batch.summary).toMatchObject({ total: 1, succeeded: 1 })
  const got = await ann.take(6)
  expect(got.map(({ payload }) => payload)).toEqual([
    { no: 1 },
    { no: 2 },
    null,
    { no: 3 },
    { no: 4 },
    { no: 5 },
  ])
  expect(got[0]).toMatchObject({ metadata: { priority: 'High', ttl: 60, correlation_id: 'c' } })
  expect(await ara.disconnect('ann', { reason: 'bye' })).toEqual({ user_id: 'ann', disconnected: 1 })
  expect(await ann.closed).toEqual({ code: 4403, reason: 'bye' })
})

test('a template is sent with its variables', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const ara = createServerClient<Events>({ url: service.url, apiKey: API_KEY })
  await service.post('/api/v1/templates', {
    id: 't',
    name: 'T',
    event_type: 'invoice.paid',
    payload_template: { no: '{{{no}}}' },
  })
  await ara.user('ann', { template_id: 't', variables: { no: 7 } })
  expect(await keptFor(service, 'ann')).toEqual([{ no: 7 }])
})

describe('a refusal rejects with the code of the API', () => {
  test('and its details', async () => {
    await using service = await startTestApp()
    const ara = createServerClient<Events>({ url: service.url, apiKey: API_KEY })
    await expect(ara.user('', paid(1))).rejects.toMatchObject({
      name: 'AraError',
      code: 'VALIDATION_ERROR',
      status: 422,
      details: [{ path: 'target_user_id' }],
    })
  })

  test('and is not tried again when that cannot help', async () => {
    await using service = await startTestApp()
    const { client, waits } = impatient({ url: service.url, apiKey: 'another-key-0123456789' })
    await expect(client.user('ann', paid(1))).rejects.toMatchObject({ code: 'UNAUTHORIZED', status: 401 })
    expect(waits).toEqual([])
  })
})

describe('a call is tried again, and sends once', () => {
  test('after 429 and 503 as `Retry-After` says, after others with growing pauses', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using troubled = startTroubled(service, [
      refusal(429, 'RATE_LIMITED', { 'retry-after': '2' }),
      refusal(503, 'STORE_UNAVAILABLE', { 'retry-after': '1' }),
      () => new Response('<html>Bad Gateway</html>', { status: 502 }),
      refusal(409, 'IDEMPOTENCY_IN_PROGRESS', { 'retry-after': '1' }),
    ])
    const { client, waits } = impatient({ url: troubled.url, apiKey: API_KEY })
    expect(await client.user('ann', paid(1))).toMatchObject({ status: 'queued' })
    expect(waits).toEqual([2_000, 1_000, 1_200, 1_000])
    expect(new Set(troubled.keys).size).toBe(1)
    expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
  })

  test('when the connection is reset after the service has carried it out', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using line = await startProxy(service.port)
    const { client } = impatient({ url: `http://127.0.0.1:${line.port}`, apiKey: API_KEY, retries: 1 })
    line.mute()
    const sending = awaitedLater(client.user('ann', paid(1)))
    await eventually(async () => (await keptFor(service, 'ann')).length === 1)
    line.cut()
    line.thaw()
    expect(await sending).toMatchObject({ success: true })
    expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
  })

  test('when an answer does not come in time', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using troubled = startTroubled(service, [
      async request => {
        await passOn(service, request)
        return new Promise(() => {})
      },
    ])
    const { client } = impatient({ url: troubled.url, apiKey: API_KEY, timeout: 300 })
    expect(await client.user('ann', paid(1))).toMatchObject({ success: true })
    expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
  })

  test('when an answer breaks off in the middle', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using troubled = startTroubled(service, [
      async request => {
        await passOn(service, request)
        return new Response('{"success":tr', { headers: { 'content-type': 'application/json' } })
      },
    ])
    const { client } = impatient({ url: troubled.url, apiKey: API_KEY })
    expect(await client.user('ann', paid(1))).toMatchObject({ success: true })
    expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
  })

  test('also a batch', async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using troubled = startTroubled(service, [
      async request => {
        await passOn(service, request)
        return new Response(null, { status: 504 })
      },
    ])
    const { client } = impatient({ url: troubled.url, apiKey: API_KEY })
    const items = [1, 2].map(no => ({ target: { type: 'user', value: 'ann' }, ...paid(no) }) as const)
    expect((await client.batch(items)).summary.succeeded).toBe(2)
    expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }, { no: 2 }])
  })
})

test('a service that stays away is an error with its cause, after all attempts', async () => {
  const { client, waits } = impatient({ url: 'http://127.0.0.1:9', retries: 2 })
  const error = await client.user('ann', paid(1)).catch(reason => reason)
  expect(error).toMatchObject({ code: 'UNREACHABLE', status: 0, cause: expect.any(Error) })
  expect(waits).toEqual([300, 600])
})

test('a call that is refused after its answer was lost sends once, if it is repeated with its key', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  await using troubled = startTroubled(service, [
    async request => {
      await passOn(service, request)
      return new Response(null, { status: 504 })
    },
    refusal(429, 'RATE_LIMITED'),
  ])
  const { client } = impatient({ url: troubled.url, apiKey: API_KEY, retries: 1 })
  const send = () => client.user('ann', { ...paid(1), idempotency_key: 'k' })
  await expect(send()).rejects.toMatchObject({ code: 'RATE_LIMITED', status: 429 })
  expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
  expect(await send()).toMatchObject({ success: true })
  expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }])
})

test('two calls with the same content are two notifications, unless they share a key', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const ara = createServerClient<Events>({ url: service.url, apiKey: API_KEY })
  for (let n = 0; n < 2; n++) await ara.user('ann', paid(1))
  for (let n = 0; n < 2; n++) await ara.user('ann', { ...paid(2), idempotency_key: 'k' })
  expect(await keptFor(service, 'ann')).toEqual([{ no: 1 }, { no: 1 }, { no: 2 }])
})

describe('a token', () => {
  test('opens a connection, with tenant, roles and channels', async () => {
    await using service = await startTestApp({ TENANT_ENABLED: 'true' })
    const ara = createServerClient({ url: service.url, apiKey: API_KEY, tenant: 'acme', secret: SECRET })
    const token = await ara.token({ user: 'änn', roles: ['admin'], channels: ['room'], ttl: 60 })
    using socket = await connectSocket(`${service.url}/ws?cursor=`, ['bearer', token])
    const { user_id, expires_in } = await socket.nextOf('connected')
    expect(user_id).toBe('änn')
    expect(expires_in).toBeWithin(55, 61)
    socket.send({ type: 'Subscribe', payload: { channels: ['room', 'hall'] } })
    expect(await socket.nextOf('subscribed')).toEqual({ type: 'subscribed', payload: ['room'] })
    await ara.broadcast({ event_type: 'e', payload: 1, audience: { type: 'Roles', value: ['admin'] } })
    expect(await socket.nextOf('notification')).toMatchObject({ payload: 1 })
  })
})
