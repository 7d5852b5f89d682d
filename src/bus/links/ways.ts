import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import { ALL_NODES, type BusTopic, type NodeTopic, nodeTopic } from '../bus.ts'
import { createFences } from './fences.ts'
import { areAlone, createLease, STRANGER_MS, strangersIn } from './lease.ts'
import type { Links } from './links.ts'

/** Each worker with links joins it: only these may hold a lease. It carries the marks of fences.ts through Redis. */
export const LEASES = 'leases' as NodeTopic

/** Asks Redis for the numbers of subscribers, all at one moment. */
export type CountSubscribers = (topics: readonly BusTopic[]) => Promise<readonly number[]>

/** Chooses the way of each message of a worker: to a user or a node over links while the workers are alone on the bus, else Redis. */
export interface Ways extends Disposable {
  /** Like `Bus.publish`, over links; undefined: publish through Redis. */
  publish(topic: BusTopic, message: string): number | undefined
  publishToOthers(topic: BusTopic, message: string): number | undefined
  /** A message has arrived through Redis. */
  arrive(topic: BusTopic, message: string): void
  /** The bus is up: it may ask whether the workers are alone. */
  attach(count: CountSubscribers): void
  detach(): void
}

interface WaysOptions {
  readonly links: Links
  readonly clock: Pick<Clock, 'monotonic'>
  /** Whether this worker has a confirmed subscription to the topic. */
  readonly isJoined: (topic: BusTopic) => boolean
  readonly publishInRedis: (topic: BusTopic, message: string) => Promise<number>
  readonly deliver: (topic: BusTopic, message: string) => void
  readonly onPublished: () => void
  /** Messages over a link may be lost. */
  readonly onLost: () => void
}

const ASK_MS = 250
const TICK_MS = 100

export function createWays({
  links,
  clock,
  isJoined,
  publishInRedis,
  deliver,
  onPublished,
  onLost,
}: WaysOptions): Ways {
  const { instance } = links
  const lease = createLease(clock)
  const fences = createFences()
  let count: CountSubscribers | undefined
  let usesLinks = false
  /** Number of changes between the ways. */
  let changes = 0
  /** Messages that this worker sent to itself in this turn. */
  let echoes: (() => void)[] = []
  fences.meet(instance)

  const flushEchoes = (): void => {
    const arrived = echoes
    echoes = []
    for (const arrive of arrived) arrive()
  }
  const echo = (arrive: () => void): void => {
    if (echoes.length === 0) setImmediate(flushEchoes)
    echoes.push(arrive)
  }

  const mark = (kind: 'left' | 'took', change: number): void => {
    links.mark(kind, change)
    echo(() => fences[kind]('link', instance, change))
  }

  /** Messages to crowds go through Redis: they wait there for each other, and then share a write to each client. */
  const isForCrowd = (topic: BusTopic): boolean => topic.startsWith('channel:') || topic.startsWith('tenant:')

  /** Whether messages go over links now. Marks each change, so that order holds. */
  const mayLink = (): boolean => {
    const isHeld = lease.isHeld()
    if (isHeld === usesLinks) return isHeld
    usesLinks = isHeld
    changes++
    mark(isHeld ? 'took' : 'left', changes)
    // Without the mark receivers wait for half a second.
    publishInRedis(LEASES, `${isHeld ? 'left' : 'took'} ${changes} ${instance}`).catch(() => {})
    return isHeld
  }

  const publish = (topic: BusTopic, message: string): number => {
    const siblings = links.count(topic)
    if (siblings > 0) links.post(topic, message)
    onPublished()
    if (!isJoined(topic)) return siblings
    echo(() => fences.arrive('link', instance, () => deliver(topic, message)))
    return siblings + 1
  }

  const ask = async (): Promise<void> => {
    const asked = count
    if (asked === undefined) return
    const siblings = links.siblings()
    const askedAt = clock.monotonic()
    const [all = 0, ...known] = await asked([ALL_NODES, ...[instance, ...siblings].map(nodeTopic)])
    const isSame = asked === count && siblings.join() === links.siblings().join()
    if (isSame && areAlone({ all, known })) lease.renew(askedAt)
    else lease.end()
  }
  // A lost answer ends no lease: its time does.
  const asks = every(ASK_MS, () => ask().catch(() => {}))
  const ticks = every(TICK_MS, fences.tick)

  links.listen({
    message: (from, topic, text) => fences.arrive('link', from, () => deliver(topic, text)),
    mark: (from, kind, change) => fences[kind]('link', from, change),
    met: fences.meet,
    ended: (sibling, isOrderly) => {
      fences.forget(sibling)
      lease.end()
      if (!isOrderly && count !== undefined) onLost()
    },
  })

  return {
    publish: (topic, message) => (!isForCrowd(topic) && mayLink() ? publish(topic, message) : undefined),
    publishToOthers: (topic, message) => {
      if (isForCrowd(topic) || !mayLink()) return undefined
      return links.count(topic) === 0 ? 0 : publish(topic, message)
    },
    arrive: (topic, message) => {
      if (topic !== LEASES) return fences.arrive('redis', '', () => deliver(topic, message))
      const [kind, change, origin = ''] = message.split(' ')
      if (kind === 'left' || kind === 'took') fences[kind]('redis', origin, Number(change))
    },
    attach: given => {
      count = given
      ask().catch(() => {})
    },
    detach: () => {
      count = undefined
      lease.end()
    },
    [Symbol.dispose]: () => {
      asks[Symbol.dispose]()
      ticks[Symbol.dispose]()
      links[Symbol.dispose]()
    },
  }
}

/**
 * Resolves when no worker publishes past this node any more: one that holds a lease and does not know this node asked
 * before this node had subscribed. `links`: absent without siblings.
 */
export async function untilKnown(count: CountSubscribers, links: Links | undefined): Promise<void> {
  const workers = links === undefined ? [] : [links.instance, ...links.siblings()]
  const [all = 0, ...known] = await count([LEASES, ...workers.map(nodeTopic)])
  if (strangersIn({ all, known }) > 0) await Bun.sleep(STRANGER_MS)
}
