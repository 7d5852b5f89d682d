import { expect, test } from 'bun:test'
import { createCrowd } from '../../src/dispatch/crowd.ts'
import { Connection, type WriteResult } from '../../src/hub/connection.ts'
import { createHub } from '../../src/hub/hub.ts'
import { createSendBuffers } from '../../src/hub/send-buffers.ts'
import { Frame } from '../../src/notification/frame.ts'
import { channelTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createRandom } from '../support/random.ts'

const TOPIC = channelTopic('default', 'c')

/** A WebSocket that the runtime's publish reaches, or a stream that is written to. */
class Listener extends Connection {
  readonly transport
  readonly written: string[] = []
  /** Native topics of a WebSocket. */
  readonly names = new Set<string>()
  waiting = 0
  isBroken = false

  constructor(transport: 'ws' | 'sse', user: string, tenant = 'default') {
    super({ user, tenant, roles: [], expiresAt: Number.MAX_SAFE_INTEGER })
    this.transport = transport
  }

  override write({ json }: Frame): WriteResult {
    if (this.isBroken) throw new Error('a fault of one connection')
    this.written.push(json)
    return 'sent'
  }
  override batch(writes: () => void): void {
    writes()
  }
  override buffered(): number {
    return this.waiting
  }
  override ask(): void {}
  override drained(): Promise<void> {
    return Promise.resolve()
  }
  override close(): void {
    this.phase = 'ended'
  }
  override cut(): void {
    this.phase = 'ended'
    this.waiting = 0
  }
  override listen(name: string): boolean {
    if (this.transport === 'ws') this.names.add(name)
    return this.transport === 'ws'
  }
  override unlisten(): void {}
}

const frame = (n: number): Frame => new Frame('notification', String(n), {})
const nextTurn = () => new Promise<void>(resolve => setImmediate(resolve))

function crowdOf(
  listeners: readonly Listener[],
  publish: (name: string, text: string) => number = () => 1,
  maxBytes = Number.MAX_SAFE_INTEGER,
) {
  const hub = createHub<Listener>()
  const faults: unknown[] = []
  for (const listener of listeners) {
    hub.open(listener)
    hub.join(listener, channelTopic(listener.principal.tenant, 'c'))
  }
  const buffers = createSendBuffers({ hub, maxBytes, onFault: error => void faults.push(error) })
  const crowd = createCrowd({
    hub,
    publish,
    sendBufferBytes: 1_000,
    coalesceMs: 0,
    buffers,
    onFault: error => void faults.push(error),
  })
  return { crowd, hub, buffers, faults }
}

const sockets = (count: number) => Array.from({ length: count }, (_, n) => new Listener('ws', `u${n}`))

test('many sends reach a room of 1,000 in order, a few per turn', async () => {
  const published: string[] = []
  const { crowd } = crowdOf(sockets(1_000), (_, text) => published.push(text))
  const sends = awaitedLater(
    Promise.all(Array.from({ length: 100 }, (_, n) => crowd.send([TOPIC], frame(n)))),
  )
  const inTurns = [published.length]
  while (published.length < 100) {
    await nextTurn()
    inTurns.push(published.length)
  }
  const perTurn = inTurns.map((count, n) => count - (inTurns[n - 1] ?? 0))
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(17)
  expect(published).toEqual(Array.from({ length: 100 }, (_, n) => String(n)))
  expect((await sends).every(({ delivered }) => delivered === 1_000)).toBe(true)
})

test('a large room takes one turn per 1,000 sockets, also beside other sends', async () => {
  const published: string[] = []
  const { crowd } = crowdOf(sockets(3_000), (name, text) => published.push(`${name} ${text}`))
  const sends = awaitedLater([crowd.send([TOPIC], frame(1)), crowd.send([TOPIC], frame(2))])
  let turns = 1
  for (; published.length < 6; turns++) await nextTurn()
  // The first send has reached a shard when the second comes; they share the turns of the other two.
  expect(turns).toBe(4)
  expect(published.map(text => text.at(-1)).join('')).toBe('112122')
  expect(await Promise.all(sends)).toEqual([
    { delivered: 3_000, failed: 0 },
    { delivered: 3_000, failed: 0 },
  ])
})

test('every connection gets the sends to its rooms in their order', async () => {
  const seed = Date.now() % 1_000_000
  console.log(`seed ${seed}`)
  const random = createRandom(seed)
  const both = [TOPIC, channelTopic('default', 'd')]
  const members = [...Array.from({ length: 40 }, (_, n) => new Listener('sse', `s${n}`)), ...sockets(2_500)]
  const inBoth = new Set(members.slice(0, 1_200))
  const { crowd, hub } = crowdOf(members, (name, text) => {
    for (const { names, written } of members) if (names.has(name)) written.push(text)
    return 1
  })
  for (const member of inBoth) hub.join(member, channelTopic('default', 'd'))
  const toSome: string[] = []
  const toAll: string[] = []
  const sends: Promise<unknown>[] = []
  for (let n = 0; n < 300; n++) {
    const topics = random.chance(0.7) ? [TOPIC] : random.chance(0.5) ? both.slice(1) : both
    sends.push(crowd.send(topics, frame(n)))
    toSome.push(String(n))
    if (topics.includes(TOPIC)) toAll.push(String(n))
    if (random.chance(0.1)) await nextTurn()
  }
  await Promise.all(sends)
  for (const member of members) expect(member.written).toEqual(inBoth.has(member) ? toSome : toAll)
})

test('a tenant’s send waits for at most one send of another tenant', async () => {
  const published: string[] = []
  const small = new Listener('ws', 'u', 'small')
  const { crowd } = crowdOf([...sockets(1_000), small], (_, text) => published.push(text))
  const large = awaitedLater(Array.from({ length: 500 }, (_, n) => crowd.send([TOPIC], frame(n))))
  await crowd.send([channelTopic('small', 'c')], frame(1_000))
  expect(published.indexOf('1000')).toBeLessThan(50)
  await Promise.all(large)
  expect(published.filter(text => text !== '1000')).toEqual(Array.from({ length: 500 }, (_, n) => String(n)))
})

test('a failing send rejects, does not stop other sends and is not retried', async () => {
  const published: string[] = []
  const { crowd } = crowdOf(sockets(10), (_, text) => {
    published.push(text)
    if (text === '2') throw new Error('a fault of one send')
    return 1
  })
  const outcomes = await Promise.allSettled([1, 2, 3].map(n => crowd.send([TOPIC], frame(n))))
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  await nextTurn()
  await nextTurn()
  expect(published).toEqual(['1', '2', '3'])
})

test('a failing connection counts as failed, and the rest of its room is written to', async () => {
  const listeners = ['a', 'b', 'c'].map(user => new Listener('sse', user))
  const [, broken] = listeners
  if (broken !== undefined) broken.isBroken = true
  const { crowd, faults } = crowdOf(listeners)
  expect(await crowd.send([TOPIC], frame(1))).toEqual({ delivered: 2, failed: 1 })
  expect(listeners.map(({ written }) => written.length)).toEqual([1, 0, 1])
  expect(faults).toHaveLength(1)
  expect(broken?.hasEnded()).toBe(true)
})

test('above the bound for all connections, those with the most waiting bytes are cut', async () => {
  const listeners = sockets(10)
  for (const [n, listener] of listeners.entries()) listener.waiting = n * 100
  const { buffers } = crowdOf(listeners, () => 1, 3_200)
  buffers.grew(1)
  buffers.measure()
  // 4,500 bytes wait: without the two largest, 2,800.
  expect(listeners.map(each => each.hasEnded())).toEqual([...Array(8).fill(false), true, true])
  buffers.grew(100)
  await nextTurn()
  expect(listeners.filter(each => each.hasEnded())).toHaveLength(2)
})
