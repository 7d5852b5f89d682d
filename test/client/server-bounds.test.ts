import { describe, expect, test } from 'bun:test'
import { AraError, createServerClient } from '../../client/src/server/index.ts'
import type { ServerOptions } from '../../client/src/server/types.ts'
import { wait } from '../../client/src/server/wait.ts'
import { API_KEY, startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually, settle, socketOf } from '../support/visit.ts'

const EVENT = { event_type: 'e', payload: 1 }
const ONE = { ...EVENT, idempotency_key: 'one' }

/** A service that answers as the test says, and counts requests. */
function startScripted(answer: (nth: number) => Response | Promise<Response>) {
  let requests = 0
  let open = 0
  let mostOpen = 0
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async request => {
      await request.text()
      mostOpen = Math.max(mostOpen, ++open)
      try {
        return await answer(requests++)
      } finally {
        open--
      }
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}`,
    count: () => ({ requests, mostOpen }),
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

const accepted = () => Response.json({ success: true, status: 'queued' })
const refused = (status: number, code: string, retryAfter: number) =>
  Response.json(
    { error: { code, message: 'not now' } },
    { status, headers: { 'retry-after': `${retryAfter}` } },
  )
const hang = () => new Promise<Response>(() => {})

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'done',
    error => (error instanceof AraError ? error.code : error),
  )

describe('a call ends within its deadline', () => {
  test('when the service refuses for ever', async () => {
    await using service = startScripted(() => refused(503, 'STORE_UNAVAILABLE', 20))
    const waits: number[] = []
    const sleep = async (ms: number) => void waits.push(ms)
    const ara = createServerClient({ url: service.url, retries: 1_000, sleep })
    await expect(ara.user('ann', EVENT)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retryAfter: 20 })
    // A third pause would end with the deadline of 60 s.
    expect(waits).toEqual([20_000, 20_000])
  })

  test('when the service accepts connections and never answers', async () => {
    await using service = startScripted(hang)
    const ara = createServerClient({ url: service.url, timeout: 10_000, deadline: 100 })
    await expect(ara.user('ann', EVENT)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringMatching(/: timed out after (?:\d\d|100) ms$/),
    })
    expect(service.count().requests).toBe(1)
  })

  test('when a `fetch` of its own ignores the signal', async () => {
    const ara = createServerClient({ url: 'http://service', fetch: hang, deadline: 50 })
    expect(await codeOf(ara.user('ann', EVENT))).toBe('UNREACHABLE')
  })

  test('when it waits for its turn behind calls that hang; it is not sent', async () => {
    await using service = startScripted(hang)
    const ara = createServerClient({ url: service.url, concurrency: 1, timeout: 10_000, deadline: 100 })
    const calls = awaitedLater([1, 2].map(() => codeOf(ara.user('ann', EVENT))))
    expect(await Promise.all(calls)).toEqual(['UNREACHABLE', 'TIMEOUT'])
    expect(service.count().requests).toBe(1)
  })
})

test('a call waits longer than its retries for an earlier attempt that is still running', async () => {
  await using service = startScripted(nth =>
    nth < 10 ? refused(409, 'IDEMPOTENCY_IN_PROGRESS', 1) : accepted(),
  )
  const ara = createServerClient({ url: service.url, retries: 1, sleep: async () => {} })
  expect(await ara.user('ann', EVENT)).toMatchObject({ success: true })
})

test('without retries a call is sent once', async () => {
  await using service = startScripted(() => refused(409, 'IDEMPOTENCY_IN_PROGRESS', 1))
  const ara = createServerClient({ url: service.url, retries: 0 })
  expect(await codeOf(ara.user('ann', EVENT))).toBe('IDEMPOTENCY_IN_PROGRESS')
  expect(service.count().requests).toBe(1)
})

test('many calls at once use a bounded number of connections, and each succeeds', async () => {
  const full = Promise.withResolvers<void>()
  await using service = startScripted(async nth => {
    if (nth === 49) full.resolve()
    await full.promise
    return accepted()
  })
  const ara = createServerClient({ url: service.url })
  const results = await Promise.all(Array.from({ length: 1_000 }, (_, n) => ara.user(`u${n}`, EVENT)))
  expect(results).toHaveLength(1_000)
  expect(service.count()).toEqual({ requests: 1_000, mostOpen: 50 })
})

test('the rate limit of the service slows calls down and refuses none', async () => {
  await using service = await startTestApp({
    QUEUE_ENABLED: 'true',
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_HTTP_REQUESTS_PER_SECOND: '40',
    RATELIMIT_HTTP_BURST_SIZE: '10',
  })
  const ara = createServerClient({ url: service.url, apiKey: API_KEY, concurrency: 10 })
  const codes = await Promise.all(Array.from({ length: 20 }, () => codeOf(ara.user('ann', EVENT))))
  expect(new Set(codes)).toEqual(new Set(['done']))
  const metrics = await (await fetch(`${service.url}/metrics`)).text()
  expect(metrics).toMatch(/^ara_ratelimit_denied_total\{[^}]*type="http"[^}]*\} [1-9]/m)
})

test('an answer is read whatever its content type says', async () => {
  await using service = startScripted(nth =>
    nth === 0
      ? new Response('{"error":{"code":"RATE_LIMITED","message":"not now"}}', { status: 429 })
      : new Response('{"success":true}'),
  )
  const ara = createServerClient({ url: service.url, sleep: async () => {} })
  expect(await ara.user('ann', EVENT)).toEqual({ success: true } as never)
})

describe('the signal of the caller', () => {
  const endedBy = (reason: unknown) => ({ name: 'AraError', code: 'ABORTED', status: 0, cause: reason })

  test('ends an attempt', async () => {
    const arrived = Promise.withResolvers<void>()
    await using service = startScripted(() => {
      arrived.resolve()
      return hang()
    })
    const controller = new AbortController()
    const call = awaitedLater(
      createServerClient({ url: service.url }).user('ann', EVENT, { signal: controller.signal }),
    )
    await arrived.promise
    controller.abort('enough')
    await expect(call).rejects.toMatchObject(endedBy('enough'))
  })

  test('ends a pause', async () => {
    const controller = new AbortController()
    await using service = startScripted(() => refused(503, 'STORE_UNAVAILABLE', 50))
    const sleep = async (ms: number, signal: AbortSignal) => {
      const pause = wait(ms, signal)
      controller.abort('enough')
      await pause
    }
    const ara = createServerClient({ url: service.url, sleep })
    await expect(ara.batch([], { signal: controller.signal })).rejects.toMatchObject(endedBy('enough'))
    expect(service.count().requests).toBe(1)
  })

  test('ends the wait for a turn, and the calls behind it are sent', async () => {
    const gate = Promise.withResolvers<Response>()
    await using service = startScripted(nth => (nth === 0 ? gate.promise : accepted()))
    const ara = createServerClient({ url: service.url, concurrency: 1 })
    const controller = new AbortController()
    const calls = awaitedLater([
      codeOf(ara.user('ann', EVENT)),
      codeOf(ara.user('ann', EVENT, { signal: controller.signal })),
      codeOf(ara.disconnect('ann')),
    ])
    controller.abort()
    expect(await calls[1]).toBe('ABORTED')
    gate.resolve(accepted())
    expect(await Promise.all(calls)).toEqual(['done', 'ABORTED', 'done'])
    expect(service.count().requests).toBe(2)
  })

  test('that has fired already sends nothing', async () => {
    await using service = startScripted(accepted)
    const ara = createServerClient({ url: service.url })
    expect(await codeOf(ara.user('ann', EVENT, { signal: AbortSignal.abort() }))).toBe('ABORTED')
    expect(service.count().requests).toBe(0)
  })
})

test('a call whose answers are lost is sent once, however long it hangs, also when two processes repeat it', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  await using line = await startProxy(service.port)
  using ann = await socketOf(service, 'ann')
  const options: ServerOptions = {
    url: `http://127.0.0.1:${line.port}`,
    apiKey: API_KEY,
    timeout: 50,
    random: () => 0,
  }
  line.mute()
  const calls = awaitedLater([1, 2].map(() => createServerClient(options).user('ann', ONE)))
  // Each call has sent its request more than once.
  await eventually(() => line.accepted >= 5)
  line.cut()
  line.thaw()
  const [first, second] = await Promise.all(calls)
  expect(first).toEqual(second)
  expect((await settle(ann)).filter(({ type }) => type === 'notification')).toHaveLength(1)
})

test('a retried disconnect ends with the connections closed', async () => {
  await using service = await startTestApp()
  await using line = await startProxy(service.port)
  using ann = await socketOf(service, 'ann')
  const ara = createServerClient({ url: `http://127.0.0.1:${line.port}`, apiKey: API_KEY, random: () => 0 })
  line.mute()
  const call = awaitedLater(ara.disconnect('ann'))
  expect(await ann.closed).toMatchObject({ code: 4403 })
  line.cut()
  line.thaw()
  // The repeat found none.
  expect(await call).toEqual({ user_id: 'ann', disconnected: 0 })
})
