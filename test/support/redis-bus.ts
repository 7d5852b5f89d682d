import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ALL_NODES, type BusTopic, nodeTopic } from '../../src/bus/bus.ts'
import { type Links, openLinks } from '../../src/bus/links/links.ts'
import { redisBus } from '../../src/bus/redis.ts'
import type { LinkEvent } from '../../src/lib/redis/reconnecting-link.ts'
import type { RedisAddress } from '../../src/lib/redis/url.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { type BusNode, busNode } from './bus-node.ts'
import { eventually } from './visit.ts'

/** A node on a Redis bus, with everything that the bus reported. */
export interface RedisBusNode extends BusNode {
  readonly events: readonly LinkEvent[]
  /** Why Redis refused to evict, for each time. */
  readonly refusals: readonly string[]
  readonly messages: Readonly<Record<'in' | 'out', number>>
  /** Number of calls of `onBack`. */
  readonly returns: number
  /** Resolves with the milliseconds until the bus is up or away. */
  until(state: 'up' | 'away', withinMs?: number): Promise<number>
}

const SETTINGS = {
  redisCircuitBreakerFailureThreshold: 5,
  redisCircuitBreakerSuccessThreshold: 2,
  redisCircuitBreakerResetTimeoutSeconds: 30,
  redisBackoffInitialDelayMs: 100,
  redisBackoffMaxDelayMs: 30_000,
}

/** Connects a node to the bus at this address; does not wait until it is up. */
export function connectNode(
  address: Partial<RedisAddress> & Pick<RedisAddress, 'hosts'>,
  links?: Links,
): RedisBusNode {
  const events: LinkEvent[] = []
  const refusals: string[] = []
  const messages = { in: 0, out: 0 }
  let returns = 0
  const bus = redisBus({
    address: { tls: false, db: 0, ...address },
    settings: SETTINGS,
    clock: systemClock,
    messages,
    onBack: () => {
      returns++
    },
    onState: event => void events.push(event),
    onEvictRefused: reason => void refusals.push(reason),
    onFault: error => {
      throw error
    },
    links,
  })
  return {
    ...busNode(bus),
    events,
    refusals,
    messages,
    get returns() {
      return returns
    },
    until: async (state, withinMs = 20_000) => {
      const startedAt = performance.now()
      await eventually(() => bus.isUp() === (state === 'up'), withinMs)
      return performance.now() - startedAt
    },
  }
}

/** Connects a node to a Redis or its proxy and waits until the bus is up with these topics joined. */
export async function startNode(
  { port, db = 0 }: { readonly port: number; readonly db?: number },
  ...topics: readonly BusTopic[]
): Promise<RedisBusNode> {
  const node = connectNode({ hosts: [{ host: '127.0.0.1', port }], db })
  await node.until('up')
  await Promise.all(topics.map(topic => node.bus.join(topic)))
  return node
}

/** A directory for the sockets between workers; removed at the end. */
export function linkDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'ara-links-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** A node with sockets to its siblings, as a worker has them. */
export interface LinkedNode extends RedisBusNode {
  readonly links: Links
  /** Links that ended without a farewell. */
  readonly lost: readonly { readonly sibling: string; readonly reason: string }[]
  /** Whether messages go over links now. */
  isAlone(): boolean
}

const UNUSED = userTopic('default', 'no-node-joins-it')

/** Connects a worker to its siblings in this directory and to the bus; waits until it is up. */
export async function startLinked(
  { port, directory }: { readonly port: number; readonly directory: string },
  ...topics: readonly BusTopic[]
): Promise<LinkedNode> {
  const lost: { readonly sibling: string; readonly reason: string }[] = []
  const links = await openLinks({ directory, clock: systemClock, onLost: fields => lost.push(fields) })
  const node = connectNode({ hosts: [{ host: '127.0.0.1', port }] }, links)
  // As every node does.
  for (const topic of [ALL_NODES, nodeTopic(links.instance), ...topics]) void node.bus.join(topic)
  await node.until('up')
  return {
    ...node,
    get returns() {
      return node.returns
    },
    links,
    lost,
    isAlone: () => {
      const published = node.bus.publishToOthers(UNUSED, '')
      if (published instanceof Promise) published.catch(() => {})
      return published === 0
    },
  }
}
