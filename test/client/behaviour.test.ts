import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '../../client/src/index.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { clockWith, follow, memoryCursor, upTo } from '../support/ara.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { freePort } from '../support/free-port.ts'
import { isUpgrade, startGate } from '../support/gate.ts'
import { startProxy } from '../support/proxy.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { broadcast, eventually, publish, send } from '../support/visit.ts'

const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '20000' }
const ACK = { ...LOG, ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '1' }
const TEST_MS = 60_000
/** Attempts follow each other faster. */
const fast = clockWith(ms => ms / 20)
/** Tries WebSockets again after three seconds, not after five minutes. */
const impatient = clockWith(ms => (ms >= 300_000 ? 3_000 : ms))

const ackedBy = async (service: TestApp): Promise<number> =>
  (await service.get('/stats')).json.ack.total_acked

async function sendAll(service: TestApp, payloads: readonly unknown[]): Promise<void> {
  for (const payload of payloads) await send(service, 'ann', payload)
}

/** A file for a store, gone with the test. */
async function storeFile() {
  const folder = await mkdtemp(join(tmpdir(), 'client-store-'))
  return {
    url: `sqlite:${join(folder, 'store.sqlite')}`,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

describe('nothing is lost, repeated or out of order', () => {
  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'when the service ends by %s and starts again with its file',
    async signal => {
      await using store = await storeFile()
      const env = { ...LOG, STORE_URL: store.url, SERVER_PORT: String(await freePort()), DRAIN_SECONDS: '1' }
      const first = await startService(env)
      using ann = follow({ url: first.url, token: () => first.token('ann') })
      for (const payload of upTo(20)) await first.send('ann', payload)
      await ann.got.take(10)
      first.signal(signal)
      await first.ended
      await using second = await startService(env)
      for (const payload of upTo(40).slice(20)) await second.send('ann', payload)
      await eventually(() => ann.got.all.length >= 40, 30_000)
      await second.send('ann', 41)
      await eventually(() => ann.got.all.length >= 41)
      expect({ got: ann.got.all, gaps: ann.gaps }).toEqual({ got: upTo(41), gaps: [] })
    },
    TEST_MS,
  )

  test(
    'when the client is offline for a while',
    async () => {
      await using service = await startTestApp(LOG)
      const line = await startProxy(service.port)
      using ann = follow({
        url: `http://127.0.0.1:${line.port}`,
        token: () => service.token('ann'),
        clock: fast,
      })
      await sendAll(service, [1, 2])
      await ann.got.take(2)
      await line[Symbol.asyncDispose]()
      await ann.states.until(({ state }) => state === 'waiting')
      await sendAll(service, [3, 4])
      await ann.states.until(({ state, error }) => state === 'waiting' && error?.code === 'UNREACHABLE')
      await using _back = await startProxy(service.port, line.port)
      await sendAll(service, [5])
      expect(await ann.got.take(3)).toEqual([3, 4, 5])
    },
    TEST_MS,
  )

  test(
    'when the network swallows everything, which is noticed within two heartbeats',
    async () => {
      await using service = await startTestApp({ ...LOG, WEBSOCKET_HEARTBEAT_INTERVAL: '1' })
      await using line = await startProxy(service.port)
      using ann = follow({ url: `http://127.0.0.1:${line.port}`, token: () => service.token('ann') })
      await sendAll(service, [1])
      await ann.got.take(1)
      const elapsed = startStopwatch()
      line.freeze()
      await sendAll(service, [2])
      await ann.states.until(({ state }) => state === 'waiting')
      expect(elapsed()).toBeLessThan(2_500)
      line.thaw()
      await sendAll(service, [3])
      expect(await ann.got.take(2)).toEqual([2, 3])
    },
    TEST_MS,
  )

  test(
    'when a proxy answers 502 for a while',
    async () => {
      await using service = await startTestApp(LOG)
      await using gate = await startGate(service.port)
      gate.refuse = () => (gate.heads.length < 6 ? 502 : undefined)
      using ann = follow({ url: gate.url, token: () => service.token('ann'), clock: fast })
      await sendAll(service, upTo(5))
      expect(await ann.got.take(5)).toEqual(upTo(5))
      expect(ann.states.all.some(({ error }) => error?.message.includes('502'))).toBeTrue()
    },
    TEST_MS,
  )

  test(
    'when the service drains, and the client waits as long as it asked for',
    async () => {
      await using store = await storeFile()
      const env = { ...LOG, STORE_URL: store.url, SERVER_PORT: String(await freePort()), DRAIN_SECONDS: '0' }
      const first = await startService(env)
      using ann = follow({ url: first.url, token: () => first.token('ann') })
      await first.send('ann', 1)
      await ann.got.take(1)
      const drainedAt = Date.now()
      first.signal('SIGTERM')
      const { retryAt = 0 } = await ann.states.until(({ state }) => state === 'waiting')
      expect(retryAt - drainedAt).toBeGreaterThanOrEqual(1_000)
      await first.ended
      await using second = await startService(env)
      await second.send('ann', 2)
      expect(await ann.got.take(1)).toEqual([2])
      expect(ann.got.all).toEqual([1, 2])
    },
    TEST_MS,
  )

  test(
    'with 10,000 notifications, kept and live',
    async () => {
      await using service = await startTestApp(LOG)
      const batch = (from: number) => ({
        notifications: upTo(100).map(n => ({
          target: { type: 'user', value: 'ann' },
          event_type: 'e',
          payload: from + n,
        })),
      })
      for (let from = 0; from < 5_000; from += 100)
        await service.post('/api/v1/notifications/batch', batch(from))
      const store = memoryCursor()
      using ann = follow({ url: service.url, token: () => service.token('ann'), cursor: store })
      for (let from = 5_000; from < 10_000; from += 100)
        await service.post('/api/v1/notifications/batch', batch(from))
      await eventually(() => ann.got.all.length >= 10_000, 30_000)
      expect(ann.got.all).toEqual(upTo(10_000))
      await eventually(() => store.cursor.endsWith(':10000'))
    },
    TEST_MS,
  )

  test(
    'with handlers so slow that the client has to catch up from the log',
    async () => {
      await using service = await startTestApp(LOG)
      using ann = follow({ url: service.url, token: () => service.token('ann') })
      const release = Promise.withResolvers<void>()
      ann.client.on('e', () => release.promise)
      const item = (payload: number) => ({ target: { type: 'user', value: 'ann' }, event_type: 'e', payload })
      for (let from = 0; from < 1_500; from += 100)
        await service.post('/api/v1/notifications/batch', {
          notifications: upTo(100).map(n => item(from + n)),
        })
      await ann.states.until(({ state }) => state === 'connecting')
      await ann.states.until(({ state }) => state === 'online')
      release.resolve()
      await eventually(() => ann.got.all.length >= 1_500, 30_000)
      expect({ got: ann.got.all, gaps: ann.gaps }).toEqual({ got: upTo(1_500), gaps: [] })
    },
    TEST_MS,
  )
})

describe('a token', () => {
  test('is renewed on the open connection before it expires', async () => {
    await using service = await startTestApp(LOG)
    let asked = 0
    const token = () =>
      service.token('ann', { exp: Math.floor(Date.now() / 1000) + (++asked === 1 ? 20 : 3600) })
    using ann = follow({ url: service.url, token })
    await sendAll(service, [1])
    await ann.got.take(1)
    await eventually(() => asked === 2)
    await sendAll(service, [2])
    expect(await ann.got.take(1)).toEqual([2])
    expect(ann.states.all.filter(({ state }) => state === 'online')).toHaveLength(1)
  })

  test(
    'that expired is replaced by a reconnect',
    async () => {
      await using service = await startTestApp({ ...LOG, JWT_LEEWAY_SECONDS: '0' })
      let asked = 0
      const token = async () => {
        asked++
        if (asked === 2) throw new Error('out of tokens')
        return service.token('ann', { exp: Math.floor(Date.now() / 1000) + (asked === 1 ? 2 : 3600) })
      }
      using ann = follow({ url: service.url, token })
      await sendAll(service, [1])
      await ann.got.take(1)
      expect((await ann.states.until(({ error }) => error?.code === 'TOKEN')).state).toBe('online')
      expect(await ann.states.until(({ state }) => state === 'waiting')).toMatchObject({
        error: { code: 'UNAUTHORIZED' },
      })
      await sendAll(service, [2])
      expect(await ann.got.take(1)).toEqual([2])
    },
    TEST_MS,
  )

  test('that cannot be had shows in `connection.error`, and is asked for again', async () => {
    await using service = await startTestApp(LOG)
    const answers = ['<html>Bad Gateway</html>', new Error('no network'), new Error('no network')]
    const token = async () => {
      const answer = answers.shift()
      if (answer instanceof Error) throw answer
      return answer ?? service.token('ann')
    }
    await sendAll(service, [1])
    using ann = follow({ url: service.url, token })
    const first = await ann.states.until(({ state }) => state === 'waiting')
    const second = await ann.states.until(({ state }) => state === 'waiting')
    expect([first.error?.code, second.error]).toEqual([
      'TOKEN',
      { code: 'TOKEN', message: 'Error: no network' },
    ])
    expect(await ann.got.take(1)).toEqual([1])
    expect(ann.client.connection).toEqual({ state: 'online', transport: 'websocket' })
  })

  test.each(['websocket', 'sse'])(
    'that is refused twice in a row closes the client (%s)',
    async transport => {
      await using service = await startTestApp(LOG)
      let asked = 0
      using ann = follow({
        url: service.url,
        token: async () => {
          asked++
          return `${await service.token('ann')}x`
        },
        ...(transport === 'sse' && { WebSocket: undefined }),
      })
      const closed = await ann.states.until(({ state }) => state === 'closed')
      expect([closed.error?.code, asked]).toEqual(['UNAUTHORIZED', 2])
      await expect(ann.client.ready()).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    },
  )

  test('of another user closes the client', async () => {
    await using service = await startTestApp(LOG)
    await using line = await startProxy(service.port)
    const users = ['ann', 'bob']
    using ann = follow({
      url: `http://127.0.0.1:${line.port}`,
      token: () => service.token(users.shift() ?? 'bob'),
    })
    await ann.client.ready()
    line.cut()
    const closed = await ann.states.until(({ state }) => state === 'closed')
    expect(closed.error?.code).toBe('USER_CHANGED')
  })

  test('never stands in an address', async () => {
    await using service = await startTestApp(LOG)
    await using gate = await startGate(service.port)
    const token = await service.token('ann')
    for (const only of [{}, { WebSocket: undefined }]) {
      using ann = follow({ url: gate.url, token: () => token, ...only })
      await ann.client.ready()
    }
    const lines = gate.heads.map(head => head.split('\r\n')[0])
    expect(lines).toEqual(['GET /ws?cursor= HTTP/1.1', 'GET /sse?cursor=&channels= HTTP/1.1'])
  })
})

test('a user with too many connections is told so, and gets in when there is room', async () => {
  await using service = await startTestApp({ ...LOG, WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' })
  const first = follow({ url: service.url, token: () => service.token('ann') })
  await first.client.ready()
  using second = follow({ url: service.url, token: () => service.token('ann'), clock: fast })
  const { error } = await second.states.until(({ state }) => state === 'waiting')
  expect(error?.code).toBe('CONNECTION_LIMIT')
  first.client.close()
  await sendAll(service, [1])
  expect(await second.got.take(1)).toEqual([1])
})

test('a user whom the backend disconnects stays away', async () => {
  await using service = await startTestApp(LOG)
  using ann = follow({ url: service.url, token: () => service.token('ann') })
  await ann.client.ready()
  await service.post('/api/v1/users/ann/disconnect', {})
  expect(await ann.states.until(({ state }) => state === 'closed')).toMatchObject({
    error: { code: 'FORBIDDEN' },
  })
})

describe('acknowledging', () => {
  test(
    'follows the handlers, slow ones too, and also when many come at once',
    async () => {
      await using service = await startTestApp(ACK)
      await sendAll(service, upTo(50))
      using ann = follow({ url: service.url, token: () => service.token('ann') })
      const slow = Promise.withResolvers<void>()
      ann.client.on('e', ({ payload }) => (payload === 51 ? slow.promise : undefined))
      await eventually(async () => (await ackedBy(service)) === 50)
      const { notification_id: id } = await send(service, 'ann', 51)
      // The handler takes longer than the service waits, so it is sent again.
      const attempts = async () =>
        (await service.get(`/api/v1/notifications/${id}`)).json.recipients[0].attempts
      await eventually(async () => (await attempts()) >= 2)
      slow.resolve()
      await eventually(async () => (await ackedBy(service)) === 51)
      expect(ann.got.all).toEqual(upTo(51))
    },
    TEST_MS,
  )

  test.each(['websocket', 'sse'])(
    'stops at the first answer of a service that has it off (%s)',
    async transport => {
      await using service = await startTestApp(LOG)
      await using gate = await startGate(service.port)
      const asked: string[] = []
      const sent: string[] = []
      class Socket extends WebSocket {
        override send(text: string): void {
          sent.push(text)
          super.send(text)
        }
      }
      using ann = follow({
        url: gate.url,
        token: () => service.token('ann'),
        fetch: async (url, init) => {
          const response = await fetch(url, init)
          if (init?.method !== 'POST') return response
          const text = await response.text()
          asked.push(url)
          return new Response(text)
        },
        // The client does not gather acknowledgements.
        clock: clockWith(ms => (ms === 250 ? 0 : ms)),
        ...(transport === 'sse' ? { WebSocket: undefined } : { WebSocket: Socket as never }),
      })
      await send(service, 'ann', 1)
      await eventually(() => asked.length === 1)
      for (const payload of upTo(9)) {
        await send(service, 'ann', payload)
        await ann.got.take(1)
      }
      expect({ asked, sent }).toEqual({ asked: [`${gate.url}/api/v1/me/acks`], sent: [] })
    },
    TEST_MS,
  )

  test.each(['websocket', 'sse'])(
    'leaves out what a handler threw away (%s)',
    async transport => {
      await using service = await startTestApp(ACK)
      const thrown: unknown[] = []
      using ann = follow({
        url: service.url,
        token: () => service.token('ann'),
        onError: error => thrown.push(error),
        ...(transport === 'sse' && { WebSocket: undefined }),
      })
      let calls = 0
      ann.client.on('e', ({ payload }) => {
        calls++
        if (payload === 2 && calls === 2) throw new Error('not this time')
      })
      await sendAll(service, upTo(3))
      const acked = transport === 'sse' ? 2 : 3
      await eventually(async () => (await ackedBy(service)) === acked)
      expect(ann.got.all).toEqual(transport === 'sse' ? [1, 2, 3] : [1, 2, 3, 2])
      expect(thrown).toEqual([new Error('not this time')])
    },
    TEST_MS,
  )
})

test(
  'where WebSockets are blocked the client uses a stream, and a WebSocket again when they are not',
  async () => {
    await using service = await startTestApp(LOG)
    await using gate = await startGate(service.port)
    gate.refuse = head => (isUpgrade(head) ? 403 : undefined)
    using ann = follow({ url: gate.url, token: () => service.token('ann'), clock: impatient })
    await sendAll(service, [1])
    expect(await ann.states.until(({ state }) => state === 'online')).toEqual({
      state: 'online',
      transport: 'sse',
    })
    expect(gate.heads.filter(isUpgrade)).toHaveLength(2)
    await sendAll(service, [2])
    await broadcast(service, 3)
    expect(await ann.got.take(3)).toEqual([1, 2, 3])
    gate.refuse = () => undefined
    await ann.states.until(({ transport }) => transport === 'websocket')
    await sendAll(service, [4])
    expect(await ann.got.take(1)).toEqual([4])
  },
  TEST_MS,
)

test('channels are counted, and subscribed again after each reconnect', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  using ann = follow({ url: `http://127.0.0.1:${line.port}`, token: () => service.token('ann') })
  const channels = async () =>
    (await service.get('/api/v1/channels')).json.channels.map(({ name }: { name: string }) => name)
  const leaveOne = ann.client.subscribe('room', 'hall')
  const leaveOther = ann.client.subscribe('room')
  await ann.client.ready()
  line.cut()
  await ann.states.until(({ state }) => state === 'waiting')
  await ann.client.ready()
  await publish(service, 'room', 1)
  expect(await ann.got.take(1)).toEqual([1])
  leaveOne()
  leaveOne()
  await eventually(async () => (await channels()).join() === 'room')
  leaveOther()
  await eventually(async () => (await channels()).join() === '')
})

test('leaving a channel is repeated on the same connection when the rate limit rejected it', async () => {
  await using service = await startTestApp({
    ...LOG,
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_WS_MESSAGES_PER_SECOND: '1',
  })
  using ann = follow({ url: service.url, token: () => service.token('ann') })
  await ann.client.ready()
  const leave = ann.client.subscribe('room')
  await ann.client.ready()
  leave()
  await ann.states.until(({ error }) => error?.code === 'RATE_LIMITED')
  expect((await service.get('/api/v1/channels')).json.total_channels).toBe(1)
  await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
  expect((await service.get('/health')).json.connections.total).toBe(1)
  expect(ann.states.all.filter(({ state }) => state === 'waiting')).toEqual([])
})

test('channels that change faster than the service answers end as the page wants them', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  using ann = follow({ url: `http://127.0.0.1:${line.port}`, token: () => service.token('ann') })
  await ann.client.ready()
  line.delay(50)
  for (const changes of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const isJoinedBefore = changes > 4
    let leave = isJoinedBefore ? ann.client.subscribe('room') : undefined
    await ann.client.ready()
    for (let n = 0; n < changes; n++) {
      if (leave === undefined) leave = ann.client.subscribe('room')
      else {
        leave()
        leave = undefined
      }
      await new Promise(setImmediate)
    }
    await ann.client.ready()
    if (leave !== undefined) {
      await publish(service, 'room', changes)
      expect(await ann.got.next()).toBe(changes)
      leave()
    }
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
  }
})

test('`ready` does not wait for a channel that the page leaves meanwhile', async () => {
  await using service = await startTestApp(LOG)
  using ann = follow({ url: service.url, token: () => service.token('ann') })
  await ann.client.ready()
  const leave = ann.client.subscribe('room')
  const ready = ann.client.ready({ timeout: 5_000 })
  leave()
  await ready
})

test('a refused channel shows in `connection.error` and keeps nobody waiting', async () => {
  await using service = await startTestApp({ ...LOG, CHANNEL_ACCESS: 'claims' })
  using ann = follow({ url: service.url, token: () => service.token('ann', { channels: ['mine'] }) })
  ann.client.subscribe('mine', 'yours')
  await ann.client.ready()
  expect(ann.client.connection).toMatchObject({ state: 'online', error: { code: 'SUBSCRIPTION_ERROR' } })
})

test('a gap is reported with its reason, before what the log still holds', async () => {
  await using service = await startTestApp(LOG)
  await sendAll(service, [1])
  using ann = follow({
    url: service.url,
    token: () => service.token('ann'),
    cursor: memoryCursor('another-life:7'),
  })
  expect(await ann.got.take(1)).toEqual([1])
  expect(ann.gaps).toEqual(['epoch_changed'])
})

describe('a loop', () => {
  test('reads every type, and tells them apart', async () => {
    await using service = await startTestApp(LOG)
    await sendAll(service, upTo(3))
    using client = createClient<{ e: number }>({ url: service.url, token: () => service.token('ann') })
    const read: number[] = []
    for await (const notification of client) {
      if (notification.is('e')) read.push(notification.payload)
      if (read.length === 3) break
    }
    expect(read).toEqual(upTo(3))
  })

  test('that ends does so without waiting, and at the end of the client', async () => {
    await using service = await startTestApp(LOG)
    using ann = follow({ url: service.url, token: () => service.token('ann') })
    const loop = awaitedLater(
      (async () => {
        for await (const _ of ann.client);
        return 'ended'
      })(),
    )
    await ann.client.ready()
    ann.client.close()
    expect(await loop).toBe('ended')
  })

  test('that begins after the end of the client ends at once', async () => {
    const client = createClient({ url: 'http://127.0.0.1:9', token: () => '' })
    client.close()
    for await (const _ of client);
    expect(client.connection).toEqual({ state: 'closed' })
  })

  test('that breaks off leaves the rest to the next one', async () => {
    await using service = await startTestApp(LOG)
    let arrived = 0
    using client = createClient<{ e: number }>({
      url: service.url,
      token: () => service.token('ann'),
      WebSocket: class extends WebSocket {
        override set onmessage(listener: (event: MessageEvent) => void) {
          super.onmessage = event => {
            if (String(event.data).includes('"e"')) arrived++
            listener(event)
          }
        }
      } as never,
    })
    await sendAll(service, upTo(5))
    const read: unknown[] = []
    for await (const { payload } of client) {
      read.push(payload)
      await eventually(() => arrived === 5)
      break
    }
    await sendAll(service, [6])
    for await (const { payload } of client) if (read.push(payload) === 6) break
    expect(read).toEqual(upTo(6))
  })

  test('that does not read rejects with SLOW_READER', async () => {
    await using service = await startTestApp(LOG)
    using ann = follow({ url: service.url, token: () => service.token('ann') })
    const reader = ann.client[Symbol.asyncIterator]()
    const item = (payload: number) => ({ target: { type: 'user', value: 'ann' }, event_type: 'e', payload })
    for (let n = 0; n < 11; n++)
      await service.post('/api/v1/notifications/batch', { notifications: upTo(100).map(item) })
    await eventually(() => ann.got.all.length === 1_100)
    await expect(reader.next()).rejects.toMatchObject({ code: 'SLOW_READER' })
  })

  test('has handled a notification when it asks for the next one', async () => {
    await using service = await startTestApp(LOG)
    const store = memoryCursor()
    using ann = follow({ url: service.url, token: () => service.token('ann'), cursor: store })
    const reader = ann.client[Symbol.asyncIterator]()
    await sendAll(service, [1, 2])
    await ann.got.take(2)
    await reader.next()
    expect(store.cursor).toEndWith(':0')
    await reader.next()
    await eventually(() => store.cursor.endsWith(':1'))
  })
})

test('nothing connects before the client is used, and `ready` rejects when it takes too long', async () => {
  let asked = 0
  const client = createClient({
    url: 'http://127.0.0.1:9',
    token: () => {
      asked++
      return new Promise(() => {})
    },
  })
  client.watch(() => {})
  client.onGap(() => {})
  await Bun.sleep(0)
  expect([client.connection, asked]).toEqual([{ state: 'idle' }, 0])
  await expect(client.ready({ timeout: 20 })).rejects.toMatchObject({ code: 'TIMEOUT' })
  expect([client.connection, asked]).toEqual([{ state: 'connecting' }, 1])
  client.close()
  expect(client.connection).toEqual({ state: 'closed' })
  await expect(client.ready()).rejects.toMatchObject({ code: 'CLOSED' })
})

test('listeners that throw are reported, and stop neither each other nor the notifications', async () => {
  await using service = await startTestApp(LOG)
  const thrown: unknown[] = []
  using ann = follow({
    url: service.url,
    token: () => service.token('ann'),
    cursor: memoryCursor('another-life:7'),
    onError: error => thrown.push(error),
  })
  ann.client.watch(() => {
    throw new Error('from watch')
  })
  ann.client.onGap(() => {
    throw new Error('from onGap')
  })
  const seen: string[] = []
  ann.client.watch(() => seen.push(ann.client.connection.state))
  await send(service, 'ann', 1)
  expect(await ann.got.take(1)).toEqual([1])
  expect(seen).toContain('online')
  expect(new Set(thrown.map(String))).toEqual(new Set(['Error: from watch', 'Error: from onGap']))
})

test('a handler that another one removes is not called for the same notification', async () => {
  await using service = await startTestApp(LOG)
  using ann = follow({ url: service.url, token: () => service.token('ann') })
  const called: unknown[] = []
  ann.client.on('e', () => off())
  const off = ann.client.on('e', ({ payload }) => called.push(payload))
  await sendAll(service, [1, 2])
  await ann.got.take(2)
  expect(called).toEqual([])
})

test('a channel that comes and goes before the service has answered is joined again later', async () => {
  await using service = await startTestApp(LOG)
  using ann = follow({ url: service.url, token: () => service.token('ann') })
  await ann.client.ready()
  const leave = ann.client.subscribe('room')
  await Promise.resolve()
  leave()
  await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
  ann.client.subscribe('room')
  await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 1)
})
