import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Socket } from 'bun'
import { ALL_NODES, type BusTopic } from '../../src/bus/bus.ts'
import { createFrameReader, frameOf, readRecords, recordOf } from '../../src/bus/links/frames.ts'
import { openLinks } from '../../src/bus/links/links.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { channelTopic, userTopic } from '../../src/notification/topic.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { connectNode, type LinkedNode, linkDirectory, startLinked, startNode } from '../support/redis-bus.ts'
import { eventually } from '../support/visit.ts'

setDefaultTimeout(40_000)

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())

const ANN = userTopic('default', 'ann')
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

/** Starts this many siblings; resolves when they are alone on the bus. */
async function startSiblings(stack: AsyncDisposableStack, count: number, ...topics: BusTopic[]) {
  const directory = stack.use(linkDirectory()).path
  const start = async () => stack.use(await startLinked({ port: redis.port, directory }, ...topics))
  const nodes = await Promise.all(Array.from({ length: count }, start))
  await eventually(() => nodes.every(node => node.isAlone()), 10_000)
  return { directory, start, nodes: nodes as [LinkedNode, LinkedNode, ...LinkedNode[]] }
}

const numbers = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, n) => String(from + n))

describe('workers that are alone on the bus', () => {
  test('reach each other over their links: once, in order, and Redis publishes nothing', async () => {
    await using stack = new AsyncDisposableStack()
    const { nodes } = await startSiblings(stack, 3, ANN)
    const [a] = nodes
    const admin = redis.client()
    const published = async () => /cmdstat_publish:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1]
    const before = await published()
    const counts = await Promise.all(numbers(0, 500).map(n => a.bus.publish(ANN, n)))
    expect(new Set(counts)).toEqual(new Set([3]))
    for (const node of nodes) {
      await node.inbox.until(({ message }) => message === '499')
      expect(node.on(ANN)).toEqual(numbers(0, 500))
    }
    expect(await published()).toBe(before)
    expect(a.messages.out).toBeGreaterThanOrEqual(500)
  })

  test('publish to channels through Redis, once and in order', async () => {
    await using stack = new AsyncDisposableStack()
    const orders = channelTopic('default', 'orders')
    const { nodes } = await startSiblings(stack, 2, orders)
    const [a, b] = nodes
    expect(await Promise.all(numbers(0, 100).map(n => a.bus.publish(orders, n)))).toEqual(Array(100).fill(2))
    await b.inbox.until(({ message }) => message === '99')
    expect(b.on(orders)).toEqual(numbers(0, 100))
  })

  test('a topic that only this worker joined has no other node, and a sibling knows a topic when `join` resolves', async () => {
    await using stack = new AsyncDisposableStack()
    const { nodes } = await startSiblings(stack, 2)
    const [a, b] = nodes
    await a.bus.join(ANN)
    expect(a.bus.publishToOthers(ANN, 'to nobody')).toBe(0)
    for (let n = 0; n < 50; n++) {
      const topic = userTopic('default', `u${n}`)
      await b.bus.join(topic)
      expect(a.bus.publishToOthers(topic, 'x')).toBe(1)
    }
    await b.inbox.until(({ topic }) => topic === userTopic('default', 'u49'))
    expect(a.on(ANN)).toEqual([])
  })

  test('a topic is left 2 s after its end, and one that is joined again in time is kept', async () => {
    await using stack = new AsyncDisposableStack()
    const { nodes } = await startSiblings(stack, 2, ANN)
    const [a, b] = nodes
    b.bus.leave(ANN)
    await Bun.sleep(500)
    expect(await a.bus.publish(ANN, 'kept')).toBe(2)
    await b.bus.join(ANN)
    b.bus.leave(ANN)
    await eventually(async () => (await a.bus.publish(ANN, 'again')) === 1, 5_000)
  })

  test('a worker that starts has links before it is up, and waits for no lease', async () => {
    await using stack = new AsyncDisposableStack()
    const { nodes, start } = await startSiblings(stack, 2, ANN)
    const startedAt = performance.now()
    const third = await start()
    expect(third.links.siblings()).toHaveLength(2)
    await eventually(() => [...nodes, third].every(node => node.isAlone()), 10_000)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    expect(await third.bus.publish(ANN, 'from the third')).toBe(3)
  })

  test('a worker that ends says so: its siblings go on without it, and compare nothing', async () => {
    await using stack = new AsyncDisposableStack()
    const { directory, nodes, start } = await startSiblings(stack, 2, ANN)
    const third = await start()
    const returns = nodes.map(node => node.returns)
    await third[Symbol.asyncDispose]()
    await eventually(() => nodes.every(node => node.isAlone() && node.links.siblings().length === 1), 10_000)
    expect(nodes.map(node => node.lost)).toEqual([[], []])
    expect(nodes.map(node => node.returns)).toEqual(returns)
    expect(readdirSync(directory)).toHaveLength(2)
    expect(await nodes[0].bus.publish(ANN, 'x')).toBe(2)
  })
})

describe('another node on the bus', () => {
  test(`nothing that is published once it is up is lost, repeated or out of order at any node (SEED=${seed})`, async () => {
    const random = createRandom(seed)
    await using stack = new AsyncDisposableStack()
    const { nodes } = await startSiblings(stack, 2, ANN)
    const sent = nodes.map(() => 0)
    const isOver = { value: false }
    /** Publishes to the end; up to a hundred messages are under way. */
    const stream = async (node: LinkedNode, place: number) => {
      let underWay = 0
      while (!isOver.value) {
        const publish = random.chance(0.5) ? node.bus.publish : node.bus.publishToOthers
        const done = Promise.resolve(publish(ANN, `${place} ${sent[place]}`))
        sent[place] = (sent[place] ?? 0) + 1
        underWay++
        const counted = done.finally(() => underWay--)
        if (underWay >= 100 || random.chance(0.1)) await counted
        if (random.chance(0.3)) await Bun.sleep(1)
      }
    }
    const streams = awaitedLater(Promise.all(nodes.map(stream)))
    try {
      for (let round = 0; round < 3; round++) {
        await eventually(() => nodes.every(node => node.isAlone()), 10_000)
        await using other = connectNode({ hosts: [{ host: '127.0.0.1', port: redis.port }] })
        for (const topic of [ALL_NODES, ANN]) void other.bus.join(topic)
        await other.until('up')
        const from = [...sent]
        const ways = nodes.map(node => node.isAlone())
        await Bun.sleep(random.whole(50, 300))
        const to = [...sent]
        for (const [place, count] of to.entries())
          await eventually(() => other.on(ANN).includes(`${place} ${count - 1}`), 10_000)
        for (const place of sent.keys()) {
          const read = other.on(ANN).filter(message => message.startsWith(`${place} `))
          const first = Number(read[0]?.split(' ')[1])
          expect(first).toBeLessThanOrEqual(from[place] ?? 0)
          expect(read.map(message => Number(message.split(' ')[1]))).toEqual(
            numbers(first, first + read.length).map(Number),
          )
        }
        expect(ways).toEqual([false, false])
      }
    } finally {
      isOver.value = true
      await streams
    }
    for (const node of nodes)
      for (const [place, count] of sent.entries()) {
        await eventually(() => node.on(ANN).includes(`${place} ${count - 1}`), 10_000)
        const read = node.on(ANN).filter(message => message.startsWith(`${place} `))
        expect(read).toEqual(numbers(0, count).map(n => `${place} ${n}`))
      }
  })

  test('an ordinary node waits for leases, unless no worker holds one', async () => {
    await using stack = new AsyncDisposableStack()
    await startSiblings(stack, 2, ANN)
    const startedAt = performance.now()
    await using first = await startNode(redis)
    expect(performance.now() - startedAt).toBeGreaterThan(1_000)
    expect(first.bus.isUp()).toBe(true)
    await stack.disposeAsync()
    const withoutAt = performance.now()
    await using second = await startNode(redis)
    expect(performance.now() - withoutAt).toBeLessThan(1_000)
    expect(second.bus.isUp()).toBe(true)
  })
})

/** A process that speaks as a sibling named `fake`, and confirms everything until it is mute. */
async function startFakeSibling(directory: string, of: string) {
  let out: Socket | undefined
  const inbound = new Set<Socket>()
  const sibling = {
    isMute: false,
    [Symbol.asyncDispose]: async () => {
      listener.stop(true)
      for (const socket of inbound) socket.terminate()
      out?.terminate()
    },
  }
  const say = (...records: readonly string[]): void => void out?.write(frameOf(records.join('')))
  const read = createFrameReader(records =>
    readRecords(records, (kind, topic) => {
      if (kind === 'sync' && !sibling.isMute) say(recordOf('ack', topic))
    }),
  )
  const listener = Bun.listen({
    unix: join(directory, 'fake'),
    socket: { open: socket => void inbound.add(socket), data: (_, chunk) => read(chunk) },
  })
  out = await Bun.connect({ unix: join(directory, of), socket: { data() {} } })
  say(recordOf('hello', 'fake'), recordOf('sync', '1'))
  return sibling
}

describe('faults of links', () => {
  test('a link that breaks costs one line and one comparison, and topics wait until a lease of the sibling has ended', async () => {
    await using stack = new AsyncDisposableStack()
    const { directory, nodes } = await startSiblings(stack, 1, ANN)
    const [a] = nodes
    const sibling = stack.use(await startFakeSibling(directory, a.links.instance))
    await eventually(() => a.links.siblings().includes('fake'))
    // Not a node on the bus: they are not alone.
    await eventually(() => !a.isAlone(), 5_000)
    const returns = a.returns
    await sibling[Symbol.asyncDispose]()
    await eventually(() => a.lost.length > 0)
    const startedAt = performance.now()
    await a.bus.join(userTopic('default', 'later'))
    expect(performance.now() - startedAt).toBeGreaterThan(500)
    expect(a.lost).toEqual([{ sibling: 'fake', reason: 'it has closed its link' }])
    expect(a.returns).toBe(returns + 1)
    await eventually(() => a.isAlone(), 5_000)
  })

  test('a sibling that confirms no topic for a second loses its link, and a client waits for it no longer', async () => {
    await using stack = new AsyncDisposableStack()
    const { directory, nodes } = await startSiblings(stack, 1, ANN)
    const [a] = nodes
    const sibling = stack.use(await startFakeSibling(directory, a.links.instance))
    await eventually(() => a.links.siblings().includes('fake'))
    sibling.isMute = true
    await a.bus.join(userTopic('default', 'later'))
    expect(a.lost).toEqual([{ sibling: 'fake', reason: 'it does not answer' }])
    expect(a.links.siblings()).toEqual([])
  })

  test('a link that broke is made again', async () => {
    await using stack = new AsyncDisposableStack()
    const { directory, nodes } = await startSiblings(stack, 2, ANN)
    const [a, b] = nodes
    // A second process with the name of a sibling: both sides end the link.
    const socket = await Bun.connect({ unix: join(directory, a.links.instance), socket: { data() {} } })
    socket.write(Buffer.concat([frameOf(recordOf('hello', b.links.instance)), Buffer.alloc(9, 255)]))
    await eventually(() => a.lost.length === 1 && b.lost.length === 1)
    expect(await a.bus.publish(ANN, 'meanwhile')).toBe(2)
    await b.inbox.until(({ message }) => message === 'meanwhile')
    await eventually(() => a.isAlone() && b.isAlone(), 15_000)
    expect(await b.bus.publish(ANN, 'again')).toBe(2)
    for (const { inbox } of nodes) await inbox.until(({ message }) => message === 'again')
    expect([a.on(ANN), b.on(ANN)]).toEqual([
      ['meanwhile', 'again'],
      ['meanwhile', 'again'],
    ])
    expect([a.returns, b.returns]).toEqual([2, 2])
  })

  test('a process that dies in the middle of a message, and one that sends garbage, disturb no other', async () => {
    await using stack = new AsyncDisposableStack()
    const { directory, nodes } = await startSiblings(stack, 2, ANN)
    const [a, b] = nodes
    const stranger = linkDirectory()
    stack.use(stranger)
    const hello = frameOf(recordOf('hello', 'stranger'))
    const half = frameOf(recordOf('message', ANN, 'half')).subarray(0, 12)
    for (const bytes of [
      Buffer.concat([hello, half]),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(9, 255),
    ]) {
      const ended = Promise.withResolvers<void>()
      const socket = await Bun.connect({
        unix: join(directory, a.links.instance),
        socket: { data() {}, close: () => ended.resolve() },
      })
      socket.write(bytes)
      socket.flush()
      if (bytes.length > 12 && bytes[4] === hello[4]) socket.end()
      await ended.promise
    }
    expect(await a.bus.publish(ANN, 'still')).toBe(2)
    await b.inbox.until(({ message }) => message === 'still')
    expect(a.on(ANN)).not.toContain('half')
    expect(a.links.siblings()).toEqual([b.links.instance])
  })

  test('a directory that is not there is an error at the start', async () => {
    const { path, [Symbol.dispose]: remove } = linkDirectory()
    remove()
    const opening = openLinks({ directory: path, clock: systemClock, onLost: () => {} })
    await expect(opening).rejects.toThrow()
    expect(existsSync(path)).toBe(false)
  })

  test('Redis goes away: the workers say so within 3 s although they have links, and use them again afterwards', async () => {
    await using own = await startRedis()
    using directory = linkDirectory()
    await using a = await startLinked({ port: own.port, directory: directory.path }, ANN)
    await using b = await startLinked({ port: own.port, directory: directory.path }, ANN)
    await eventually(() => a.isAlone() && b.isAlone(), 10_000)
    own.freeze()
    try {
      await Promise.all([a.until('away', 4_000), b.until('away', 4_000)])
      await expect(a.bus.publish(ANN, 'refused')).rejects.toThrow('the bus is away')
    } finally {
      own.thaw()
    }
    await Promise.all([a.until('up'), b.until('up')])
    await eventually(() => a.isAlone() && b.isAlone(), 10_000)
    expect(await b.bus.publish(ANN, 'back')).toBe(2)
    await a.inbox.until(({ message }) => message === 'back')
    expect(a.on(ANN)).toEqual(['back'])
  })
})
