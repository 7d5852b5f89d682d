import { expect, test } from 'bun:test'
import { createLocalCensus } from '../../src/dispatch/local-census.ts'
import { createLocalReach } from '../../src/dispatch/local-reach.ts'
import { createRedeliveries } from '../../src/dispatch/redelivery.ts'
import { StoreAway } from '../../src/errors.ts'
import { Connection } from '../../src/hub/connection.ts'
import { createHub, type Hub } from '../../src/hub/hub.ts'
import { type Topic, tenantOf, userOf, userTopic } from '../../src/notification/topic.ts'
import { createTally } from '../../src/observe/tally.ts'
import type { Acks } from '../../src/store/acks.ts'
import type { UserLog } from '../../src/store/store.ts'
import { createStoppedClock } from '../support/clock.ts'
import { eventually } from '../support/visit.ts'

class Socket extends Connection {
  readonly transport = 'ws'
  readonly written: string[] = []
  write({ json }: { readonly json: string }) {
    this.written.push(json)
    return 'sent' as const
  }
  batch(writes: () => void) {
    writes()
  }
  buffered() {
    return 0
  }
  ask() {}
  async drained() {}
  close() {}
  cut() {}
  listen() {
    return true
  }
  unlisten() {}
}

const TIMEOUT_S = 30
const turn = () => new Promise(setImmediate)

/** Redeliveries over a replaced store and a hub that counts look-ups. */
function start(
  redeliver: Acks['redeliver'] = async () => ({ body: '{"n":1', redelivered: 1 }),
  read: UserLog['read'] = () => Promise.reject(new Error('not asked')),
) {
  const clock = createStoppedClock()
  const hub = createHub<Socket>()
  const counts = { looks: 0, redelivered: 0, faults: 0 }
  const looked: Hub = {
    ...hub,
    members: topic => {
      counts.looks++
      return hub.members(topic)
    },
  }
  const notCalled = () => {
    throw new Error('not called')
  }
  const reach = createLocalReach({
    hub: looked,
    crowd: { send: notCalled },
    census: createLocalCensus({
      hub: looked,
      tally: createTally(),
      node: { id: 'n', version: '1', since: '' },
    }),
    offer: notCalled,
    onHanded: notCalled,
    crowdAcks: undefined,
    onWritten: () => {},
    onLive: notCalled,
    clock,
  })
  const redeliveries = createRedeliveries({
    reach,
    log: { read },
    acks: { redeliver },
    clock,
    timeoutMs: TIMEOUT_S * 1000,
    maxDeliveries: 3,
    retentionMs: 3_600_000,
    onRedelivered: () => counts.redelivered++,
    onFault: () => counts.faults++,
  })
  const connect = (tenant: string, user: string): Socket => {
    const socket = new Socket({ user, tenant, roles: [], expiresAt: Number.MAX_SAFE_INTEGER })
    Object.assign(socket, { phase: 'live', epoch: 'e', position: 1_000_000 })
    hub.open(socket)
    return socket
  }
  return { clock, connect, counts, redeliveries, [Symbol.dispose]: () => redeliveries[Symbol.dispose]() }
}

const seqs = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)

test('waiting users cost nothing until they are due, then all are redelivered', async () => {
  using service = start()
  const { clock, connect, counts, redeliveries } = service
  const first = connect('t', 'first')
  redeliveries.handed(userTopic('t', 'first'), 'e', [1])
  clock.jump(1)
  const users = Array.from({ length: 5_000 }, (_, n) => `u${n}`)
  for (const user of users) {
    connect('t', user)
    redeliveries.handed(userTopic('t', user), 'e', [1])
  }
  counts.looks = 0
  clock.jump(TIMEOUT_S - 1)
  await eventually(() => counts.redelivered === 1)
  expect(first.written).toHaveLength(1)
  expect(counts.looks).toBeLessThan(10)
  const late = connect('t', 'late')
  redeliveries.handed(userTopic('t', 'late'), 'e', [1])
  clock.jump(1)
  await eventually(() => counts.redelivered === users.length + 1)
  expect(late.written).toHaveLength(0)
})

test('thousands of entries of one tenant do not delay another tenant’s entry', async () => {
  const order: string[] = []
  using service = start(async owner => {
    order.push(tenantOf(owner))
    return undefined
  })
  const { clock, connect, redeliveries } = service
  for (let n = 0; n < 100; n++) {
    connect('large', `u${n}`)
    redeliveries.handed(userTopic('large', `u${n}`), 'e', seqs(100))
  }
  connect('small', 'u')
  redeliveries.handed(userTopic('small', 'u'), 'e', [1])
  clock.jump(TIMEOUT_S)
  await eventually(async () => order.length === 10_001)
  expect(order.indexOf('small')).toBeLessThan(100)
})

test('a user’s long log does not delay other users, and questions to the store are bounded', async () => {
  const asked: { readonly owner: Topic; readonly answer: () => void }[] = []
  using service = start(owner => {
    const { promise, resolve } = Promise.withResolvers<undefined>()
    asked.push({ owner, answer: () => resolve(undefined) })
    return promise
  })
  const { clock, connect, redeliveries } = service
  connect('t', 'long')
  redeliveries.handed(userTopic('t', 'long'), 'e', seqs(5_000))
  connect('t', 'short')
  redeliveries.handed(userTopic('t', 'short'), 'e', [1])
  clock.jump(TIMEOUT_S)
  await eventually(async () => asked.some(({ owner }) => userOf(owner) === 'short'))
  for (let n = 0; n < 20; n++) await turn()
  expect(asked.length).toBeLessThan(100)
  let answered = 0
  await eventually(async () => {
    while (answered < asked.length) asked[answered++]?.answer()
    return answered === 5_001
  })
})

test('an entry that another node delivered is due when its time has passed since then, before later ones', async () => {
  const asked: number[] = []
  let isEarly = true
  using service = start(async (_, { seq }) => {
    asked.push(seq)
    return seq === 1 && isEarly ? { dueInMs: 5_000 } : { body: '{"n":1', redelivered: 1 }
  })
  const { clock, connect, counts, redeliveries } = service
  const socket = connect('t', 'u')
  redeliveries.handed(userTopic('t', 'u'), 'e', [1])
  clock.jump(TIMEOUT_S - 1)
  redeliveries.handed(userTopic('t', 'u'), 'e', [2])
  clock.jump(1)
  await eventually(() => asked.length === 1)
  await turn()
  expect([counts.redelivered, socket.written.length]).toEqual([0, 0])
  isEarly = false
  clock.jump(5)
  await eventually(() => counts.redelivered === 1)
  clock.jump(TIMEOUT_S - 6)
  await eventually(() => counts.redelivered === 2)
  expect(asked).toEqual([1, 1, 2])
})

test('a failing entry does not delay others and is retried one timeout later', async () => {
  const asked: number[] = []
  using service = start(async (_, { seq }) => {
    asked.push(seq)
    if (seq === 1) throw new TypeError('a fault')
    return { body: '{"n":1', redelivered: 1 }
  })
  const { clock, connect, counts, redeliveries } = service
  connect('t', 'u')
  redeliveries.handed(userTopic('t', 'u'), 'e', [1, 2])
  clock.jump(TIMEOUT_S)
  await eventually(async () => counts.redelivered === 1)
  clock.jump(TIMEOUT_S)
  await eventually(async () => counts.redelivered === 2)
  expect(asked).toEqual([1, 2, 1, 2])
  expect(counts.faults).toBe(2)
})

test('after an outage of the store an entry is retried soon, without another timeout', async () => {
  let isAway = true
  using service = start(async () => {
    if (isAway) throw new StoreAway('away')
    return { body: '{"n":1', redelivered: 1 }
  })
  const { clock, connect, counts, redeliveries } = service
  const users = Array.from({ length: 200 }, (_, n) => `u${n}`)
  for (const user of users) {
    connect('t', user)
    redeliveries.handed(userTopic('t', user), 'e', [1])
  }
  clock.jump(TIMEOUT_S)
  await eventually(async () => counts.faults > 0)
  for (let n = 0; n < 20; n++) await turn()
  // One portion, then a pause.
  expect(counts.faults).toBeLessThan(users.length)
  isAway = false
  clock.jump(1)
  await eventually(async () => counts.redelivered === users.length)
})

test('an acknowledgement during a question to the store ends the waiting', async () => {
  let asked = 0
  using service = start(async (owner, cursor) => {
    asked++
    service.redeliveries.settled(owner, cursor)
    return { body: '{"n":1', redelivered: 1 }
  })
  service.connect('t', 'u')
  service.redeliveries.handed(userTopic('t', 'u'), 'e', [1])
  service.clock.jump(TIMEOUT_S)
  await eventually(async () => service.counts.redelivered === 1)
  service.connect('t', 'marker')
  service.redeliveries.handed(userTopic('t', 'marker'), 'e', [1])
  service.clock.jump(TIMEOUT_S)
  await eventually(async () => service.counts.redelivered === 2)
  expect(asked).toBe(2)
})

test('entries that a full log evicted are forgotten', async () => {
  const asked: number[] = []
  let seq = 0
  const last = () => Array.from({ length: 100 }, (_, n) => ({ seq: seq - 99 + n, body: '' }))
  using service = start(
    async (_, cursor) => {
      asked.push(cursor.seq)
      return undefined
    },
    async (_, after) => ({
      epoch: 'e',
      entries: last().filter(entry => entry.seq > after && entry.seq > 0),
      through: seq,
      removedThrough: 0,
    }),
  )
  const { clock, connect, redeliveries } = service
  connect('t', 'u')
  for (let n = 0; n < 200; n++) {
    const seqs = Array.from({ length: 100 }, () => ++seq)
    redeliveries.handed(userTopic('t', 'u'), 'e', seqs)
    await turn()
  }
  clock.jump(TIMEOUT_S)
  await eventually(async () => asked.includes(20_000))
  expect(asked.length).toBeLessThan(1_500)
  expect(asked.slice(-100)).toEqual(last().map(entry => entry.seq))
})
