import type { Redis } from 'ioredis'
import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { every } from '../lib/time/every.ts'
import type { BusTopic } from './bus.ts'

type Subscriber = Pick<Redis, 'subscribe' | 'unsubscribe'>

/** Topics that this node joined, and their subscriptions over the present connection. */
export interface Subscriptions extends Disposable {
  join(topic: BusTopic): Awaitable<void>
  leave(topic: BusTopic): void
  /**
   * Uses this connection from now on. Resolves when Redis has confirmed all joined topics; rejects when it refuses one or
   * the connection ends. `onRefused` is called when it refuses one later.
   */
  attach(client: Subscriber, onRefused: (error: Error) => void): Promise<void>
  /** There is no connection: joins wait for the next one. */
  detach(): void
  /** The subscription to a topic, once confirmed; a topic that was left or lost meanwhile has another one. */
  of(topic: BusTopic): Subscription | undefined
}

/** Stands for a subscription over one connection. */
export interface Subscription {
  readonly client: Subscriber
}

interface SubscriptionsOptions {
  readonly channelOf: (topic: BusTopic) => string
  readonly clock: Pick<Clock, 'monotonic'>
  /** Called when a topic is left for good. */
  readonly onLeft?: ((topic: BusTopic) => void) | undefined
}

/** A user who reconnects within this time causes no traffic. */
const LEAVE_MS = 2_000
const TICK_MS = 100
/** Channels of one command. */
const MAX_CHANNELS = 1_000

/** Topics joined in one turn. */
interface Batch {
  readonly topics: BusTopic[]
  readonly done: PromiseWithResolvers<void>
}

export function createSubscriptions({
  channelOf,
  clock,
  onLeft = () => {},
}: SubscriptionsOptions): Subscriptions {
  /** Each with the promise of its subscription until Redis has confirmed it; undefined without a connection. */
  const joined = new Map<BusTopic, Promise<void> | Subscription | undefined>()
  /** When each ends, monotonic milliseconds; the earliest first. */
  const leaving = new Map<BusTopic, number>()
  let current: { readonly client: Subscriber; readonly onRefused: (error: Error) => void } | undefined
  let batch: Batch | undefined

  /** Skips topics that were left meanwhile. */
  const subscribe = async (client: Subscriber, topics: readonly BusTopic[]): Promise<void> => {
    for (let from = 0; from < topics.length; from += MAX_CHANNELS) {
      const channels = topics
        .slice(from, from + MAX_CHANNELS)
        .filter(topic => joined.has(topic))
        .map(channelOf)
      if (channels.length > 0) await client.subscribe(...channels)
    }
  }

  const confirm = ({ topics, done }: Batch, subscription: Subscription | undefined): void => {
    for (const topic of topics) if (joined.get(topic) === done.promise) joined.set(topic, subscription)
    done.resolve()
  }

  const flush = (): void => {
    const flushed = batch
    batch = undefined
    if (flushed === undefined) return
    if (current === undefined) {
      confirm(flushed, undefined)
      return
    }
    const { client, onRefused } = current
    subscribe(client, flushed.topics).then(
      () => confirm(flushed, { client }),
      error => {
        onRefused(error instanceof Error ? error : new Error('failed', { cause: error }))
        confirm(flushed, undefined)
      },
    )
  }

  const startBatch = (): Batch => {
    setImmediate(flush)
    return { topics: [], done: Promise.withResolvers() }
  }

  const leaveDue = (): void => {
    const now = clock.monotonic()
    const due: string[] = []
    for (const [topic, at] of leaving) {
      if (at > now) break
      leaving.delete(topic)
      joined.delete(topic)
      due.push(channelOf(topic))
      onLeft(topic)
    }
    for (let from = 0; from < due.length; from += MAX_CHANNELS)
      // A connection that ends has no subscriptions left.
      current?.client.unsubscribe(...due.slice(from, from + MAX_CHANNELS)).catch(() => {})
  }
  const ticks = every(TICK_MS, leaveDue)

  return {
    join: topic => {
      leaving.delete(topic)
      const known = joined.get(topic)
      if (known instanceof Promise) return known
      if (joined.has(topic)) return undefined
      if (current === undefined) {
        joined.set(topic, undefined)
        return undefined
      }
      batch ??= startBatch()
      batch.topics.push(topic)
      joined.set(topic, batch.done.promise)
      return batch.done.promise
    },
    leave: topic => {
      if (joined.has(topic) && !leaving.has(topic)) leaving.set(topic, clock.monotonic() + LEAVE_MS)
    },
    attach: async (client, onRefused) => {
      current = { client, onRefused }
      const topics = [...joined.keys()]
      await subscribe(client, topics)
      const subscription = { client }
      for (const topic of topics)
        if (joined.has(topic) && !(joined.get(topic) instanceof Promise)) joined.set(topic, subscription)
    },
    detach: () => {
      current = undefined
    },
    of: topic => {
      const known = joined.get(topic)
      return known instanceof Promise || known?.client !== current?.client ? undefined : known
    },
    [Symbol.dispose]: () => ticks[Symbol.dispose](),
  }
}
