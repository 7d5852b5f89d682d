import { expect, test } from 'bun:test'
import { createAcknowledgement } from '../../src/dispatch/acknowledgement.ts'
import { createCrowd } from '../../src/dispatch/crowd.ts'
import { createCrowdAcks } from '../../src/dispatch/crowd-acks.ts'
import { createDispatcher } from '../../src/dispatch/dispatcher.ts'
import { createLocalCensus } from '../../src/dispatch/local-census.ts'
import { createLocalReach } from '../../src/dispatch/local-reach.ts'
import type { Reach } from '../../src/dispatch/reach.ts'
import { createRedeliveries } from '../../src/dispatch/redelivery.ts'
import { Connection, type WriteResult } from '../../src/hub/connection.ts'
import { createHub } from '../../src/hub/hub.ts'
import type { Frame } from '../../src/notification/frame.ts'
import type { Target } from '../../src/notification/target.ts'
import { channelTopic, tenantTopic, userTopic } from '../../src/notification/topic.ts'
import { createTally } from '../../src/observe/tally.ts'
import { createStoppedClock } from '../support/clock.ts'
import { eventually } from '../support/visit.ts'

class Socket extends Connection {
  readonly transport = 'ws'
  readonly written: unknown[] = []
  closedWith: readonly unknown[] | undefined

  override write({ json }: Frame): WriteResult {
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
  override close(...how: readonly unknown[]): void {
    this.closedWith = how
  }
  override cut(): void {}
  override listen(): boolean {
    return false
  }
  override unlisten(): void {}
}

/** The value as another process receives it: functions and classes do not arrive. */
async function sent<T>(value: T): Promise<T> {
  await new Promise(setImmediate)
  const copy = value === undefined ? value : JSON.parse(JSON.stringify(value))
  expect(copy).toEqual(value)
  return copy
}

/** The functions of a port, called from another process: arguments and results travel as JSON. */
const remote = <T extends object>(port: T): T =>
  new Proxy(port, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (member === undefined) return member
      if (typeof member !== 'function') return remote(member as object)
      return async (...given: readonly unknown[]) => {
        // A span stays in its process, and here there is none.
        const data = given.filter(each => each !== undefined)
        return sent(await member(...(await sent(data))))
      }
    },
  })

function start() {
  const clock = createStoppedClock()
  const hub = createHub<Socket>()
  const tally = createTally()
  const observer = { tracked: () => {}, acked: () => {} }
  const crowdAcks = createCrowdAcks({
    clock,
    observer,
    onGivenUp: () => {},
    timeoutMs: 30_000,
    cleanupMs: 60_000,
  })
  const onFault = (error: unknown) => {
    throw error
  }
  const local = createLocalReach({
    hub,
    crowd: createCrowd({
      hub,
      publish: () => 0,
      sendBufferBytes: 1_000,
      coalesceMs: 0,
      buffers: { grew: () => {} },
      onFault,
    }),
    census: createLocalCensus({
      hub,
      tally,
      node: { id: 'n1', version: '1.0.0', since: '2026-01-01T00:00:00.000Z' },
    }),
    offer: (connection, _, frame) => connection.write(frame),
    onHanded: (owner, { epoch, seq }) => redeliveries.handed(owner, epoch, [seq]),
    crowdAcks,
    onWritten: () => {},
    onLive: () => {},
    clock,
  })
  const reach: Reach = remote(local)
  const redeliveries = createRedeliveries({
    reach,
    log: { read: () => Promise.reject(new Error('not asked')) },
    acks: { redeliver: async () => ({ body: '{"again":true', redelivered: 1 }) },
    clock,
    timeoutMs: 1_000,
    maxDeliveries: 3,
    retentionMs: 60_000,
    onRedelivered: () => {},
    onFault,
  })
  let seq = 0
  const dispatch = createDispatcher({
    reach,
    log: {
      append: async drafts => drafts.map(() => ({ cursor: { epoch: 'e', seq: ++seq }, repeated: false })),
    },
    keepsForAll: false,
    clock,
  })
  const acknowledgement = createAcknowledgement({
    acks: { ack: async (_, ids) => ids.map(() => undefined), ackThrough: async () => undefined },
    log: { received: () => {} },
    // There is no third process to ask.
    reach: { acknowledge: reach.acknowledge, acknowledgeElsewhere: local.acknowledgeElsewhere },
    redeliveries,
  })
  const connect = (user: string, roles: readonly string[] = []): Socket => {
    const socket = new Socket({ user, tenant: 't', roles, expiresAt: Number.MAX_SAFE_INTEGER })
    Object.assign(socket, { phase: 'live', epoch: 'e', position: 1_000 })
    hub.open(socket)
    hub.listen(socket)
    return socket
  }
  return {
    clock,
    hub,
    tally,
    reach,
    acknowledgement,
    connect,
    send: (target: Target, more: { readonly ttl?: number; readonly roles?: readonly string[] } = {}) =>
      dispatch({
        tenant: 't',
        target,
        notification: {
          id: `id-${target.type}`,
          occurredAt: clock.now(),
          eventType: 'x.y',
          payload: '{}',
          source: 's',
          priority: 'Normal',
          ...(more.ttl !== undefined && { ttl: more.ttl }),
          ...(more.roles && { audience: { type: 'Roles', value: more.roles } }),
        },
      }),
    [Symbol.dispose]: () => {
      redeliveries[Symbol.dispose]()
      crowdAcks[Symbol.dispose]()
    },
  }
}

test('sends reach connections in another process', async () => {
  using service = start()
  const { connect, send, hub } = service
  const alice = connect('alice', ['admin'])
  const bob = connect('bob')
  hub.join(bob, channelTopic('t', 'c'))

  const counts = ({ status, deliveredTo }: Awaited<ReturnType<typeof send>>) => [status, deliveredTo]
  expect(counts(await send({ type: 'users', users: ['alice', 'nobody'] }))).toEqual(['partial', 1])
  expect(counts(await send({ type: 'user', user: 'alice' }, { ttl: 0 }))).toEqual(['delivered', 1])
  expect(counts(await send({ type: 'broadcast' }, { roles: ['admin'] }))).toEqual(['delivered', 1])
  expect(counts(await send({ type: 'broadcast' }))).toEqual(['delivered', 2])
  expect(counts(await send({ type: 'channel', channel: 'c' }))).toEqual(['delivered', 1])
  expect([alice.written.length, bob.written.length]).toEqual([4, 2])
})

test('look-ups count connections in another process', async () => {
  using service = start()
  const { connect, reach, hub, tally } = service
  tally.delivered('t', 3)
  hub.join(connect('alice'), channelTopic('t', 'b'))
  hub.join(connect('alice'), channelTopic('t', 'a'))
  const { census } = reach

  expect(await census.connections(tenantTopic('t'))).toEqual({ connections: 2 })
  expect(await census.subscriptions(userTopic('t', 'alice'))).toEqual({
    connections: 2,
    channels: ['a', 'b'],
  })
  expect(await census.channels('t', { after: 'a' })).toEqual({
    channels: [{ name: 'b', subscribers: 1 }],
    total: 2,
  })
  expect(await census.largestChannels('t', 1)).toEqual({ channels: [{ name: 'a', subscribers: 1 }] })
  expect(await census.tenant('t')).toMatchObject({ isKnown: true, connections: 2, users: 1 })
  expect(await census.tenant('unknown')).toMatchObject({ isKnown: false, connections: 0 })
  expect(await census.tenants()).toEqual({
    tenants: [{ tenant: 't', connections: 2, opened: 0, sent: 0, delivered: 3 }],
  })
  expect(await census.nodes()).toEqual({
    nodes: [{ id: 'n1', version: '1.0.0', since: '2026-01-01T00:00:00.000Z', connections: 2 }],
  })
})

test('a disconnect closes connections in another process', async () => {
  using service = start()
  const socket = service.connect('alice')
  expect(await service.reach.close(userTopic('t', 'alice'), 'disconnected', 'bye')).toBe(1)
  expect(socket.closedWith).toEqual(['disconnected', 'bye'])
})

test('acknowledgements and redeliveries reach another process', async () => {
  using service = start()
  const { clock, connect, send, acknowledgement } = service
  const socket = connect('alice')

  await send({ type: 'broadcast' })
  expect(await acknowledgement.ack(userTopic('t', 'alice'), ['id-broadcast', 'unknown'])).toEqual([
    { late: false },
    undefined,
  ])
  await send({ type: 'user', user: 'alice' })
  // The user's clock starts when the other process has answered.
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  clock.jump(1)
  await eventually(() => socket.written.length === 3)
  expect(socket.written[2]).toEqual({ again: true, cursor: 'e:1', redelivered: 1 })
})
