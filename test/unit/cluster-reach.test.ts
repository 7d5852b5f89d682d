import { expect, test } from 'bun:test'
import { ALL_NODES } from '../../src/bus/bus.ts'
import { type Cluster, createCluster } from '../../src/dispatch/cluster/cluster.ts'
import { createPipeline } from '../../src/dispatch/pipeline.ts'
import { Connection, type WriteResult } from '../../src/hub/connection.ts'
import { createHub } from '../../src/hub/hub.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import type { Audience } from '../../src/notification/audience.ts'
import type { Frame } from '../../src/notification/frame.ts'
import type { Target } from '../../src/notification/target.ts'
import { channelTopic, type Topic, tenantOf } from '../../src/notification/topic.ts'
import type { Logger } from '../../src/observe/log.ts'
import { createStats } from '../../src/observe/stats.ts'
import { memoryStore } from '../../src/store/memory/memory.ts'
import { referenceTo } from '../../src/store/push.ts'
import type { Store, UserLog } from '../../src/store/store.ts'
import { LIMITS, noting } from '../contract/store.contract.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createMemoryBusNetwork, type MemoryBusNetwork } from '../support/memory-bus.ts'
import { eventually } from '../support/visit.ts'

const SETTINGS = {
  queueEnabled: true,
  queueMessageTtlSeconds: 3_600,
  ackEnabled: false,
  ackTimeoutSeconds: 30,
  ackCleanupIntervalSeconds: 60,
  ackMaxDeliveries: 3,
  sendBufferBytes: 1_000_000,
  sendBuffersTotalBytes: 1_000_000_000,
  coalesceMs: 0,
}
/** Bodies above this length are told to all nodes first, as by the Redis store. */
const SHARED = 1_000

class Socket extends Connection {
  readonly transport = 'ws'
  // biome-ignore lint/suspicious/noExplicitAny: tests read any field.
  readonly written: any[] = []
  refuses = false

  override write({ json }: Frame): WriteResult {
    if (this.refuses) return 'refused'
    this.written.push(JSON.parse(json))
    return 'sent'
  }
  override batch(writes: () => void): void {
    writes()
  }
  override buffered(): number {
    return 0
  }
  override ask(): void {}
  override async drained(): Promise<void> {}
  override close(): void {}
  override cut(): void {}
  override listen(): boolean {
    return false
  }
  override unlisten(): void {}
  get payloads(): readonly unknown[] {
    return this.written.map(({ payload }) => payload)
  }
}

/** Publishes entries with the append, as the script of the Redis store does. */
const pushing = (
  log: UserLog,
  { calls }: Cluster,
  publish: (topic: Topic, text: string) => Promise<number>,
) => ({
  ...log,
  append: async (drafts: Parameters<UserLog['append']>[0]) => {
    const told = new Set<string>()
    const appended = await log.append(drafts)
    return Promise.all(
      appended.map(async (result, n) => {
        const draft = drafts[n]
        if (draft === undefined) return result
        const { owner, id, body, acceptedAt = 0 } = draft
        const isShared = body.length > SHARED
        if (isShared && !told.has(id)) {
          told.add(id)
          await calls.tell(ALL_NODES, 'body', `${tenantOf(owner)} ${id}\n${body}`)
        }
        const call = calls.begin()
        const head = calls.headOf('push', call)
        const { cursor, repeated } = result
        const elapsed = `${performance.now() - acceptedAt} ${acceptedAt}`
        const place = `${cursor.epoch} ${cursor.seq} ${repeated ? 1 : 0} ${elapsed}`
        const nodes = await publish(owner, `${head}\n${place}\n${isShared ? referenceTo(id, 1) : body}`)
        return nodes === 0 ? result : { ...result, push: { id: call, nodes } }
      }),
    )
  },
})

function createNode(name: string, network: MemoryBusNetwork, shared: Store) {
  const bus = network.connect(name)
  const stats = createStats()
  const hub = createHub<Socket>({ opened: topic => void bus.join(topic), closed: bus.leave })
  const onFault = (error: unknown): never => {
    throw error
  }
  const node = { id: name, version: '1.0.0', since: '2026-01-01T00:00:00.000Z' }
  const logger = { warn: () => {} } as unknown as Logger
  const basis = { bus, hub, node, onFault, clock: systemClock, logger, stats }
  const cluster = createCluster({ ...basis, db: 0 })
  const log = pushing(shared.log, cluster, (topic, text) => bus.publish(topic, text))
  const pipeline = createPipeline({
    ...basis,
    settings: SETTINGS,
    cluster,
    store: { ...shared, log },
    observer: noting(),
    publish: () => 0,
    storeWatch: { failed: onFault, retry: onFault },
  })
  const connect = async (user: string, roles: readonly string[] = []): Promise<Socket> => {
    const socket = new Socket({ user, tenant: 't', roles, expiresAt: Number.MAX_SAFE_INTEGER })
    hub.open(socket)
    hub.listen(socket)
    await pipeline.delivery.start(socket, { cursor: '' })
    await pipeline.delivery.replay(socket)
    return socket
  }
  let sent = 0
  const send = (
    target: Target,
    {
      payload = ++sent,
      audience,
      agoMs = 0,
      ...more
    }: {
      readonly payload?: unknown
      readonly audience?: Audience
      readonly agoMs?: number
      readonly ttl?: number
      readonly id?: string
    } = {},
  ) =>
    pipeline.dispatch({
      tenant: 't',
      target,
      acceptedAt: performance.now() - agoMs,
      notification: {
        id: crypto.randomUUID(),
        occurredAt: Date.now(),
        eventType: 'e',
        payload: JSON.stringify(payload),
        source: 's',
        priority: 'Normal',
        ...(audience && { audience }),
        ...more,
      },
    })
  return {
    connect,
    send,
    hub,
    stats,
    pipeline,
    cluster,
    [Symbol.dispose]: () => {
      pipeline[Symbol.dispose]()
      cluster[Symbol.dispose]()
    },
  }
}

function startPair() {
  const network = createMemoryBusNetwork()
  const shared = memoryStore({
    limits: { ...LIMITS, maxEntries: 1_000 },
    clock: systemClock,
    observer: noting(),
  })
  const [a, b] = [createNode('a', network, shared), createNode('b', network, shared)]
  return {
    network,
    a,
    b,
    [Symbol.dispose]: () => {
      a[Symbol.dispose]()
      b[Symbol.dispose]()
    },
  }
}

const U: Target = { type: 'user', user: 'u' }
const kindOf = (message: string): string => message.slice(0, message.indexOf(' '))

test('a lost push costs a read of the log with the next one, never a notification', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const socket = await b.connect('u')
  network.lose = (_, message, to) => to === 'b' && kindOf(message) === 'push'
  expect(await a.send(U)).toMatchObject({ deliveredTo: 0, queued: 1, status: 'queued' })
  network.lose = () => false
  // The gap is read from the log, after the answer.
  expect(await a.send(U)).toMatchObject({ deliveredTo: 0, queued: 1, status: 'queued' })
  await eventually(() => socket.written.length === 2)
  expect(await a.send(U)).toMatchObject({ deliveredTo: 1, status: 'delivered' })
  expect(socket.payloads).toEqual([1, 2, 3])
})

test('pushes that arrive in another order are written in the order of the log, each once', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const socket = await b.connect('u')
  const first = Promise.withResolvers<void>()
  let held = 0
  network.hold = (_, message, to) =>
    to === 'b' && kindOf(message) === 'push' && held++ === 0 ? first.promise : undefined
  const sends = awaitedLater([a.send(U), a.send(U)])
  await eventually(() => socket.written.length === 2)
  first.resolve()
  // The log has brought the first one: its push finds it there.
  expect((await Promise.all(sends)).map(({ deliveredTo }) => deliveredTo)).toEqual([1, 0])
  expect(socket.payloads).toEqual([1, 2])
  expect(b.stats.tally.find('t').delivered).toBe(2)
})

test('an answer after the deadline counts for nothing, and disturbs no later send', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const socket = await b.connect('u')
  const late = Promise.withResolvers<void>()
  network.hold = (_, message, to) => (to === 'a' && kindOf(message) === 'answers' ? late.promise : undefined)
  expect(await a.send(U)).toMatchObject({ deliveredTo: 0, queued: 1 })
  expect(a.stats.busAnswerTimeouts).toBe(1)
  network.hold = () => undefined
  late.resolve()
  expect(await a.send(U)).toMatchObject({ deliveredTo: 1, queued: 0, status: 'delivered' })
  expect(socket.payloads).toEqual([1, 2])
})

test('a shared body that is lost on its way is read from the log', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const sockets = [await b.connect('u'), await b.connect('v')]
  const users: Target = { type: 'users', users: ['u', 'v'] }
  const payload = 'x'.repeat(2 * SHARED)
  expect(await a.send(users, { payload })).toMatchObject({ deliveredTo: 2, status: 'delivered' })
  network.lose = (_, message, to) => to === 'b' && kindOf(message) === 'body'
  expect(await a.send(users, { payload })).toMatchObject({ deliveredTo: 0, queued: 2, status: 'queued' })
  await eventually(() => sockets.every(({ written }) => written.length === 2))
  expect(sockets.map(({ payloads }) => payloads)).toEqual([
    [payload, payload],
    [payload, payload],
  ])
})

test('a repeated append is delivered to a user who has not got it, and counts nothing twice', async () => {
  using pair = startPair()
  const { a, b } = pair
  const [here, there] = [await a.connect('u'), await b.connect('u')]
  const id = crypto.randomUUID()
  expect(await a.send(U, { id })).toMatchObject({ deliveredTo: 2, status: 'delivered' })
  expect(await b.send(U, { id })).toMatchObject({ deliveredTo: 0, queued: 0, status: 'delivered' })
  expect([here.payloads, there.payloads]).toEqual([[1], [1]])
})

test('a connection that refuses counts as failed on its node, and its user as away', async () => {
  using pair = startPair()
  const { a, b } = pair
  const socket = await b.connect('u')
  socket.refuses = true
  expect(await a.send(U)).toMatchObject({ deliveredTo: 0, failed: 1, queued: 1, status: 'queued' })
  expect(a.stats.tally.find('t')).toMatchObject({ delivered: 0, failed: 0 })
  expect(b.stats.tally.find('t')).toMatchObject({ delivered: 0, failed: 1 })
})

test('a lost crowd message reaches the other connections, and the answer counts those', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const [here, there] = [await a.connect('u'), await b.connect('v')]
  for (const [node, socket] of [
    [a, here],
    [b, there],
  ] as const)
    node.hub.join(socket, channelTopic('t', 'c'))
  network.lose = (_, message, to) => to === 'b' && kindOf(message) === 'crowd'
  expect(await a.send({ type: 'channel', channel: 'c' })).toMatchObject({
    deliveredTo: 1,
    status: 'delivered',
  })
  network.lose = () => false
  expect(await a.send({ type: 'channels', channels: ['c', 'd'] })).toMatchObject({ deliveredTo: 2 })
  expect([here.payloads, there.payloads]).toEqual([[1, 2], [2]])
})

test('a send while the bus is cut is refused and reaches nobody', async () => {
  using pair = startPair()
  const { a, b, network } = pair
  const [here, there] = [await a.connect('u'), await b.connect('u')]
  network.cut.add('a')
  for (const target of [U, { type: 'broadcast' }, { type: 'channel', channel: 'c' }] as const)
    expect(a.send(target)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      headers: { 'retry-after': '1' },
    })
  expect(await b.send(U)).toMatchObject({ deliveredTo: 1 })
  // Node a compares its connections with the logs when the bus is back.
  network.cut.clear()
  a.pipeline.catchUp()
  await eventually(() => here.written.length === 1)
  expect([here.payloads, there.payloads]).toEqual([[1], [1]])
})

test('the latency of a delivery on each node includes the time before it was published', async () => {
  using pair = startPair()
  const { a, b } = pair
  await a.connect('u')
  await b.connect('u')
  await a.send(U, { agoMs: 60_000 })
  await a.send({ type: 'broadcast' }, { agoMs: 60_000 })
  await a.send(U, { agoMs: 60_000, ttl: 0 })
  for (const { stats } of [a, b]) {
    expect(stats.deliverySeconds.count).toBe(3)
    expect(stats.deliverySeconds.sum).toBeWithin(180, 240)
  }
})
