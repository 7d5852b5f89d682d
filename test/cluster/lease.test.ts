import { describe, expect, test } from 'bun:test'
import { readAll } from '../chaos/crash.ts'
import { startProxy } from '../support/proxy.ts'
import { permit, startRedis, type TestRedis } from '../support/redis.ts'
import type { Service } from '../support/service.ts'
import { messageTo } from '../support/stream.ts'
import { eventually } from '../support/visit.ts'
import { countFaults, NO_FAULT, numbersOf, startNode } from './triggers.ts'

const CHANNEL = 'notification:user:any'
const TAKE_OVER_MS = 3_000
const EVERY_MS = 20

type Nodes = readonly [Service, Service, Service] & AsyncDisposable

const envOf = (redis: TestRedis, n: number, bus = redis.url): Record<string, string> => ({
  REDIS_URL: redis.url,
  STORE_URL: bus,
  BUS_URL: bus,
  NODE_ID: `n${n}`,
  DRAIN_SECONDS: '1',
})

const isHolder = ({ lines }: Service): boolean =>
  lines.findLast(({ event }) => /^lease\.(held|lost)$/.test(event))?.event === 'lease.held'

/** The nodes in an order in which the holder of the lease is the first. */
async function holderFirst(nodes: readonly Service[]): Promise<readonly [Service, ...Service[]]> {
  await eventually(() => nodes.some(isHolder))
  const [holder, ...rest] = nodes.toSorted((a, b) => Number(isHolder(b)) - Number(isHolder(a)))
  if (holder === undefined) throw new Error('no node')
  return [holder, ...rest]
}

async function startThree(redis: TestRedis): Promise<Nodes> {
  const nodes = await Promise.all([0, 1, 2].map(n => startNode(envOf(redis, n))))
  return Object.assign(nodes as unknown as readonly [Service, Service, Service], {
    [Symbol.asyncDispose]: async () => {
      for (const node of nodes) await node[Symbol.asyncDispose]()
    },
  })
}

/** Publishes numbers until stopped; knows when it published each. */
function startPublisher(redis: TestRedis) {
  const at: number[] = []
  let isStopped = false
  const run = async (): Promise<void> => {
    while (!isStopped) {
      at.push(performance.now())
      await redis.publish(CHANNEL, messageTo('u', at.length - 1))
      await Bun.sleep(EVERY_MS)
    }
  }
  const ended = run()
  return {
    at,
    stop: async (): Promise<readonly number[]> => {
      isStopped = true
      await ended
      return at.map((_, n) => n)
    },
  }
}

/** Numbers in the log of the user, as this node shows it. */
const logAt = async (node: Service): Promise<number[]> => numbersOf(await readAll(node, 'u'))

async function receivedBy({ url }: Service): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^ara_redis_messages_received_total (\d+)/m.exec(text)?.[1])
}

/** Milliseconds from a moment until the first message that was dispatched was published, apart from `until`. */
const gapAfter = (moment: number, at: readonly number[], got: readonly number[]): number => {
  const first = got.toSorted((a, b) => a - b).find(n => (at[n] ?? 0) > moment)
  return first === undefined ? Number.POSITIVE_INFINITY : (at[first] ?? 0) - moment
}

describe('Of three nodes with a bus', () => {
  test('one dispatches each of 2,000 messages; it alone counts them', async () => {
    await using redis = await startRedis()
    await using nodes = await startThree(redis)
    const [holder, ...others] = await holderFirst(nodes)
    const all = Array.from({ length: 2_000 }, (_, n) => n)
    const hasMoved = () => others.some(isHolder)
    for (let from = 0; from < all.length; from += 100) {
      const pipeline = redis.client().pipeline()
      for (const n of all.slice(from, from + 100)) pipeline.publish(CHANNEL, messageTo('u', n))
      const receivers = await pipeline.exec()
      expect(receivers?.every(([, count]) => count === 3)).toBe(true)
      await eventually(async () => hasMoved() || (await receivedBy(holder)) === from + 100)
    }
    const got = await logAt(holder)
    expect(new Set(got).size).toBe(got.length)
    // On a starved machine the lease may move, and messages in between may be lost.
    if (hasMoved()) return
    await eventually(async () => (await logAt(holder)).length === 2_000)
    expect(await logAt(holder)).toEqual(all)
    expect(await Promise.all(others.map(receivedBy))).toEqual([0, 0])
  }, 60_000)

  test('another takes over within 3 s when the holder is killed', async () => {
    await using redis = await startRedis()
    await using nodes = await startThree(redis)
    const [holder, other] = await holderFirst(nodes)
    if (other === undefined) throw new Error('one node')
    const publisher = startPublisher(redis)
    await eventually(async () => (await logAt(other)).length > 20)
    holder.signal('SIGKILL')
    const killedAt = performance.now()
    const before = (await logAt(other)).length
    await eventually(async () => (await logAt(other)).length > before + 20)
    await publisher.stop()
    const got = await logAt(other)
    expect(gapAfter(killedAt, publisher.at, got)).toBeLessThan(TAKE_OVER_MS)
    expect(new Set(got).size).toBe(got.length)
  }, 60_000)

  test('another takes over within 3 s when the holder is frozen, which dispatches nothing of it when it wakes', async () => {
    await using redis = await startRedis()
    await using nodes = await startThree(redis)
    const [holder, other] = await holderFirst(nodes)
    if (other === undefined) throw new Error('one node')
    const publisher = startPublisher(redis)
    await eventually(async () => (await logAt(other)).length > 20)
    process.kill(holder.pid, 'SIGSTOP')
    const frozenAt = performance.now()
    const before = (await logAt(other)).length
    await eventually(async () => (await logAt(other)).length > before + 50)
    process.kill(holder.pid, 'SIGCONT')
    await eventually(() => holder.lines.some(({ event }) => event === 'lease.lost'))
    const count = (await logAt(other)).length
    await eventually(async () => (await logAt(other)).length > count + 50)
    await publisher.stop()
    const got = await logAt(other)
    expect(gapAfter(frozenAt, publisher.at, got)).toBeLessThan(TAKE_OVER_MS)
    expect(new Set(got).size).toBe(got.length)
  }, 60_000)

  test('another takes over at once when the holder drains', async () => {
    await using redis = await startRedis()
    await using nodes = await startThree(redis)
    const [holder, other] = await holderFirst(nodes)
    if (other === undefined) throw new Error('one node')
    const publisher = startPublisher(redis)
    await eventually(async () => (await logAt(other)).length > 20)
    const drainedAt = performance.now()
    holder.signal('SIGTERM')
    expect((await holder.ended).code).toBe(0)
    const before = (await logAt(other)).length
    await eventually(async () => (await logAt(other)).length > before + 20)
    const all = await publisher.stop()
    const got = await logAt(other)
    expect(new Set(got).size).toBe(got.length)
    const missing = all.filter(n => !got.includes(n) && n < (got.at(-1) ?? 0))
    expect(missing.length * EVERY_MS).toBeLessThan(1_000)
    expect(gapAfter(drainedAt, publisher.at, got)).toBeLessThan(1_000)
  }, 60_000)

  test('none dispatches twice while nodes are frozen and woken in turn', async () => {
    await using redis = await startRedis()
    await using nodes = await startThree(redis)
    await holderFirst(nodes)
    const publisher = startPublisher(redis)
    for (let round = 0; round < 3; round++) {
      const [holder, other] = await holderFirst(nodes)
      process.kill(holder.pid, 'SIGSTOP')
      await eventually(() => [...nodes].some(node => node !== holder && isHolder(node)))
      const before = (await logAt(other ?? holder)).length
      await eventually(async () => (await logAt(other ?? holder)).length > before + 10)
      process.kill(holder.pid, 'SIGCONT')
      await eventually(() => !isHolder(holder))
    }
    const all = await publisher.stop()
    await Promise.all(
      [...nodes].map(async node => eventually(async () => (await fetch(`${node.url}/health`)).ok)),
    )
    const got = await logAt(nodes[0])
    expect(countFaults(all, got)).toMatchObject({ ...NO_FAULT, lost: expect.any(Number) })
    expect(got.length).toBeGreaterThanOrEqual(30)
  }, 90_000)
})

test('a holder that is cut off from the Redis of the bus dispatches nothing, and another takes over within 3 s', async () => {
  await using redis = await startRedis()
  await using line = await startProxy(redis.port)
  await using cut = await startNode(envOf(redis, 0, `redis://127.0.0.1:${line.port}`))
  await eventually(() => isHolder(cut))
  await using other = await startNode(envOf(redis, 1))
  const publisher = startPublisher(redis)
  await eventually(async () => (await logAt(other)).length > 20)
  line.freeze()
  const cutAt = performance.now()
  const before = (await logAt(other)).length
  await eventually(async () => (await logAt(other)).length > before + 50)
  const received = await receivedBy(cut)
  line.thaw()
  await eventually(() => cut.lines.some(({ event }) => event === 'lease.lost'))
  const count = (await logAt(other)).length
  await eventually(async () => (await logAt(other)).length > count + 20)
  await publisher.stop()
  const got = await logAt(other)
  expect(gapAfter(cutAt, publisher.at, got)).toBeLessThan(TAKE_OVER_MS)
  expect(new Set(got).size).toBe(got.length)
  expect(await receivedBy(cut)).toBe(received)
}, 60_000)

test('a holder whose subscription is cut lets another node dispatch', async () => {
  await using redis = await startRedis()
  await using line = await startProxy(redis.port)
  await using cut = await startNode({ ...envOf(redis, 0), REDIS_URL: `redis://127.0.0.1:${line.port}` })
  await eventually(() => isHolder(cut))
  await using other = await startNode(envOf(redis, 1))
  await line[Symbol.asyncDispose]()
  await eventually(() => isHolder(other))
  await redis.publish(CHANNEL, messageTo('u', 1))
  await eventually(async () => (await logAt(other)).length === 1)
  expect(isHolder(cut)).toBe(false)
}, 60_000)

test('the documented permissions are enough for the lease; without them the log says that no node dispatches', async () => {
  await using redis = await startRedis()
  const client = redis.client()
  await permit(client, 'bus', 'subscribe')
  const bus = redis.url.replace('//', '//bus:secret@')
  const env = { REDIS_URL: redis.url, BUS_URL: bus, QUEUE_ENABLED: 'false' }
  await using node = await startNode({ ...env, NODE_ID: 'n0' })
  expect((await node.line('lease.refused'))['reason']).toContain('NOPERM')
  await permit(client, 'bus', 'ara:lease')
  await node.line('lease.held')
  node.signal('SIGTERM')
  expect((await node.ended).code).toBe(0)
  expect(await client.hget('ara:lease:{pubsub}', 'until')).toBe('0')
}, 30_000)

test('without a bus there is no lease: each node dispatches what it hears', async () => {
  await using redis = await startRedis()
  await using one = await startNode({ REDIS_URL: redis.url, NODE_ID: 'one' })
  await redis.publish(CHANNEL, messageTo('u', 1))
  await eventually(async () => (await logAt(one)).length === 1)
  expect(await redis.client().keys('ara:*')).toEqual([])
  expect(one.lines.filter(({ event }) => event.startsWith('lease.'))).toEqual([])
}, 30_000)
