import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseMessage } from '../../src/protocol/client-messages.ts'
import { SOCKET_MESSAGES } from '../../src/protocol/server-messages.ts'
import { startTestApp } from '../support/app.ts'
import { connectSocket } from '../support/client.ts'
import { curlLines, readCurl, runCurl } from '../support/curl.ts'
import { createInbox, type Inbox } from '../support/inbox.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'
import { startProxy } from '../support/proxy.ts'
import { clientModules, protocolBlocks } from '../support/samples.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { eventually, publish, send } from '../support/visit.ts'

interface Notified {
  readonly id: string
  readonly payload: unknown
  readonly cursor?: string
}

interface Place {
  readonly cursor: string
  readonly ids: readonly string[]
}

interface Places {
  load(): Place
  save(place: Place): void
}

interface Wire {
  readonly token: string
  readonly onMessage: (message: object) => void
  readonly onEnd: (code: number) => void
}

interface Options {
  readonly url: string
  readonly getToken: () => Promise<string | null>
  readonly onNotification: (notification: Notified) => unknown
  readonly onGap?: (reason: string) => void
  readonly onEnd?: (reason: string) => void
  readonly onError?: (error: unknown) => void
  readonly channels?: readonly string[]
  readonly acknowledge?: boolean
  readonly cursor?: string
  readonly place?: Places
  readonly connect?: (wire: Wire) => { send(message: object): void; close(): void }
}

interface Listener {
  stop(): void
  subscribe(...names: readonly string[]): void
  unsubscribe(...names: readonly string[]): void
  acknowledge(id: string): void
}

interface Ara {
  readonly listen: (options: Options) => Listener
  readonly memoryPlace: () => Places
}

interface AraLog {
  readonly readLog: (
    options: Pick<Options, 'url' | 'getToken'>,
  ) => Promise<{ readonly notifications: readonly Notified[]; readonly cursor: string }>
}

const folder = await mkdtemp(join(tmpdir(), 'clients-'))
for (const [name, text] of Object.entries(await clientModules())) await Bun.write(join(folder, name), text)
const { listen, memoryPlace }: Ara = await import(join(folder, 'ara.js'))
const { readLog }: AraLog = await import(join(folder, 'ara-log.js'))
const impatient = join(folder, 'impatient.js')
await Bun.write(impatient, (await Bun.file(join(folder, 'ara.js')).text()).replace('15_000', '100'))

afterAll(() => rm(folder, { recursive: true }))

const LOG = { QUEUE_ENABLED: 'true' }
const ACK = { ...LOG, ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '1' }

/** Listens and collects payloads; stops with the test. */
function collect(
  options: Omit<Options, 'onNotification'>,
): Listener & Disposable & { readonly got: Inbox<unknown> } {
  const got = createInbox<unknown>()
  const listener = listen({ ...options, onNotification: ({ payload }) => got.push(payload) })
  return { ...listener, got, [Symbol.dispose]: listener.stop }
}

test('a cut network and a new listener at the same place lose nothing and repeat nothing', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  const options = {
    url: `http://127.0.0.1:${line.port}`,
    getToken: () => service.token('ann'),
    place: memoryPlace(),
  }
  await send(service, 'ann', 1)
  const first = collect(options)
  expect(await first.got.take(1)).toEqual([1])
  line.cut()
  await send(service, 'ann', 2)
  expect(await first.got.take(1)).toEqual([2])
  first.stop()
  await send(service, 'ann', 3)
  using second = collect(options)
  await send(service, 'ann', 4)
  expect(await second.got.take(2)).toEqual([3, 4])
})

test('a listener that is stopped before its token arrives never connects', async () => {
  await using service = await startTestApp(LOG)
  const token = Promise.withResolvers<string>()
  let connects = 0
  const listener = listen({
    url: service.url,
    getToken: () => token.promise,
    onNotification: () => {},
    connect: () => {
      connects++
      return { send: () => {}, close: () => {} }
    },
  })
  listener.stop()
  token.resolve(await service.token('ann'))
  await new Promise(setImmediate)
  expect(connects).toBe(0)
})

test('the client retries when the token endpoint fails', async () => {
  await using service = await startTestApp(LOG)
  await send(service, 'ann', 1)
  let asked = 0
  using client = collect({
    url: service.url,
    getToken: () => {
      asked++
      if (asked === 1) throw new Error('thrown at once')
      return asked === 2 ? Promise.reject(new Error('rejected')) : service.token('ann')
    },
  })
  expect(await client.got.take(1)).toEqual([1])
  expect(asked).toBe(3)
})

test('the client retries a token endpoint that does not answer, and ignores its late answer', async () => {
  await using service = await startTestApp(LOG)
  const ara: Ara = await import(impatient)
  const tokens: string[] = []
  const connected = Promise.withResolvers<void>()
  let asked = 0
  const late = Promise.withResolvers<string>()
  const listener = ara.listen({
    url: service.url,
    getToken: async () => (++asked === 1 ? late.promise : 'second'),
    onNotification: () => {},
    connect: ({ token }) => {
      tokens.push(token)
      connected.resolve()
      return { send: () => {}, close: () => {} }
    },
  })
  await connected.promise
  late.resolve('first')
  await new Promise(setImmediate)
  listener.stop()
  expect(tokens).toEqual(['second'])
})

test('two listeners that share a place, as two tabs do, each receive everything', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  const place = memoryPlace()
  const getToken = () => service.token('ann')
  using direct = collect({ url: service.url, getToken, place })
  using behind = collect({ url: `http://127.0.0.1:${line.port}`, getToken, place })
  await send(service, 'ann', 1)
  expect(await Promise.all([direct.got.next(), behind.got.next()])).toEqual([1, 1])
  line.cut()
  await send(service, 'ann', 2)
  expect(await direct.got.next()).toBe(2)
  expect(await behind.got.next()).toBe(2)
})

test('a gap is reported with its reason, once', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  const gaps: string[] = []
  using client = collect({
    url: `http://127.0.0.1:${line.port}`,
    getToken: () => service.token('ann'),
    cursor: 'another-life:7',
    onGap: reason => gaps.push(reason),
  })
  await send(service, 'ann', 1)
  await client.got.take(1)
  line.cut()
  await send(service, 'ann', 2)
  await client.got.take(1)
  expect(gaps).toEqual(['epoch_changed'])
})

test('the client subscribes to its channels again after a break', async () => {
  await using service = await startTestApp(LOG)
  await using line = await startProxy(service.port)
  using client = collect({
    url: `http://127.0.0.1:${line.port}`,
    getToken: () => service.token('ann'),
    channels: ['orders'],
  })
  client.subscribe('alerts')
  const total = async () => (await service.get('/api/v1/channels')).json.total_channels
  await eventually(async () => (await total()) === 2)
  line.cut()
  await eventually(async () => (await total()) === 0)
  await eventually(async () => (await total()) === 2)
  await publish(service, 'orders', 1)
  await publish(service, 'alerts', 2)
  expect(await client.got.take(2)).toEqual([1, 2])
  client.unsubscribe('alerts')
  await eventually(async () => (await total()) === 1)
})

describe('acknowledging', () => {
  test('follows the handler; a notification whose handler failed is sent again', async () => {
    await using service = await startTestApp(ACK)
    const got: unknown[] = []
    const errors: unknown[] = []
    const listener = listen({
      url: service.url,
      getToken: () => service.token('ann'),
      acknowledge: true,
      onError: error => errors.push(error),
      onNotification: async ({ payload }) => {
        got.push(payload)
        if (got.length === 1) throw new Error('not this time')
      },
    })
    await send(service, 'ann', 1)
    await send(service, 'ann', 2)
    const acked = async () => (await service.get('/stats')).json.ack.total_acked
    await eventually(async () => (await acked()) === 2)
    listener.stop()
    expect([got, errors.length]).toEqual([[1, 2, 1], 1])
  })

  test('also works later, by id', async () => {
    await using service = await startTestApp(ACK)
    const ids = createInbox<string>()
    const listener = listen({
      url: service.url,
      getToken: () => service.token('ann'),
      onNotification: ({ id }) => ids.push(id),
    })
    await send(service, 'ann', 1)
    listener.acknowledge(await ids.next())
    await eventually(async () => (await service.get('/stats')).json.ack.total_acked === 1)
    listener.stop()
  })

  test('a redelivered notification is acknowledged again and not handled again', async () => {
    const { promise: wire, resolve } = Promise.withResolvers<Wire>()
    const sent: object[] = []
    const payloads: unknown[] = []
    const handled = Promise.withResolvers<void>()
    const listener = listen({
      url: 'http://localhost',
      getToken: async () => 'token',
      acknowledge: true,
      onNotification: ({ payload }) => payloads.push(payload),
      connect: given => {
        resolve(given)
        return {
          close: () => {},
          send: message => {
            sent.push(message)
            if (sent.length === 2) handled.resolve()
          },
        }
      },
    })
    const { onMessage } = await wire
    onMessage({ type: 'connected', cursor: 'e:0', recovered: true, heartbeat_seconds: 30 })
    onMessage({ type: 'notification', id: 'n', payload: 1, cursor: 'e:1' })
    onMessage({ type: 'notification', id: 'n', payload: 1, cursor: 'e:1', redelivered: 1 })
    await handled.promise
    listener.stop()
    const ack = { type: 'Ack', payload: { notification_id: 'n' } }
    expect([payloads, sent]).toEqual([[1], [ack, ack]])
  })
})

describe('the end of a connection', () => {
  /** Server that ends each connection at once and reports when. */
  async function delayAfter(messages: readonly object[], code: number): Promise<number> {
    const times: number[] = []
    const elapsed = startStopwatch()
    const again = Promise.withResolvers<void>()
    const listener = listen({
      url: 'http://localhost',
      getToken: async () => 'token',
      onNotification: () => {},
      connect: ({ onMessage, onEnd }) => {
        times.push(elapsed())
        if (times.length === 2) again.resolve()
        else
          queueMicrotask(() => {
            for (const message of messages) onMessage(message)
            onEnd(code)
          })
        return { send: () => {}, close: () => {} }
      },
    })
    await again.promise
    listener.stop()
    const [first = 0, second = 0] = times
    return second - first
  }

  const shutdown = { type: 'shutdown', reason: 'draining', reconnect_after_seconds: 1 }

  test('after `shutdown` the client waits as long as the server asked for', async () => {
    expect(await delayAfter([shutdown], 1012)).toBeGreaterThanOrEqual(990)
  })

  test('without `shutdown` the client reconnects within about half a second', async () => {
    expect(await delayAfter([], 1006)).toBeLessThan(990)
  })

  test('a client that the backend disconnects stops and says so', async () => {
    await using service = await startTestApp(LOG)
    const ended = Promise.withResolvers<string>()
    using client = collect({
      url: service.url,
      getToken: () => service.token('ann'),
      onEnd: ended.resolve,
    })
    await send(service, 'ann', 1)
    await client.got.take(1)
    await service.post('/api/v1/users/ann/disconnect', {})
    expect(await ended.promise).toBe('disconnected by the backend')
  })

  test('a client whose user has signed out stops and says so', async () => {
    const ended = Promise.withResolvers<string>()
    listen({
      url: 'http://localhost',
      getToken: async () => null,
      onNotification: () => {},
      onEnd: ended.resolve,
    })
    expect(await ended.promise).toBe('signed out')
  })

  test('a token that ends is replaced on the open connection', async () => {
    await using service = await startTestApp(LOG)
    let asked = 0
    using client = collect({
      url: service.url,
      getToken: () => {
        asked++
        const seconds = asked === 1 ? 20 : 3600
        return service.token('ann', { exp: Math.floor(Date.now() / 1000) + seconds })
      },
    })
    await send(service, 'ann', 1)
    await client.got.take(1)
    await eventually(() => asked === 2)
    await send(service, 'ann', 2)
    expect(await client.got.take(1)).toEqual([2])
    const { json } = await service.get('/health')
    expect(json.connections.total).toBe(1)
  })
})

test('the client reads the log in pages and continues live from its end', async () => {
  await using service = await startTestApp({ ...LOG, QUEUE_MAX_SIZE_PER_USER: '2000' })
  const item = (payload: number) => ({ target: { type: 'user', value: 'ann' }, event_type: 'e', payload })
  for (let n = 0; n < 11; n++)
    await service.post('/api/v1/notifications/batch', {
      notifications: Array.from({ length: 100 }, (_, k) => item(n * 100 + k)),
    })
  const options = { url: service.url, getToken: () => service.token('ann') }
  const { notifications, cursor } = await readLog(options)
  expect(notifications.map(({ payload }) => payload)).toEqual(Array.from({ length: 1100 }, (_, n) => n))
  using client = collect({ ...options, cursor })
  await send(service, 'ann', 'next')
  expect(await client.got.take(1)).toEqual(['next'])
})

test('the service answers every curl line for clients', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  const token = await service.token('ann')
  await send(service, 'ann', 1)
  const { json } = await service.get(`/api/v1/users/ann/notifications`)
  const page = await Bun.file(join(import.meta.dir, '../../docs/PROTOCOL.md')).text()
  const lines = blocksOf(sectionOf(page, '## curl')).flatMap(({ text }) => curlLines(text))
  const statuses: number[] = []
  for (const text of lines) {
    const request = readCurl(text.replaceAll('k3f9:12', json.cursor), { TOKEN: token })
    const answer = await runCurl(request, service.url)
    statuses.push(answer.status)
    await answer.body?.cancel()
  }
  expect(statuses).toEqual([200, 200, 200, 200, 200])
})

test('the messages in PROTOCOL.md are those that the service sends and accepts', async () => {
  const [sent = '', accepted = ''] = await protocolBlocks('On the wire')
  const messages = sent
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  const faults = messages.filter(({ type }) => !Object.hasOwn(SOCKET_MESSAGES, type))
  expect(faults).toEqual([])
  expect(
    accepted
      .trim()
      .split('\n')
      .map(parseMessage)
      .filter(({ fault }) => fault),
  ).toEqual([])

  await using service = await startTestApp(ACK)
  await send(service, 'u-7', { no: 42 })
  const headers = { authorization: `Bearer ${await service.token('u-7')}` }
  using socket = await connectSocket(`${service.url}/ws?cursor=`, undefined, headers)
  const types = ['connected', 'notification']
  for (const type of types) {
    const documented = messages.find(message => message.type === type)
    expect(Object.keys(await socket.nextOf(type))).toEqual(Object.keys(documented))
  }
})
