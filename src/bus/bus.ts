import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Topic } from '../notification/topic.ts'

/** Random name of a process on the bus. */
export const newInstance = (): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(9))).toString('base64url')

declare const brand: unique symbol

/** Names a set of nodes that is not a set of connections: one node, or all of them. */
export type NodeTopic = string & { readonly [brand]: true }

export type BusTopic = Topic | NodeTopic

/** Every node joins it. */
export const ALL_NODES = 'nodes' as NodeTopic

/** Only the node with this instance id joins it. */
export const nodeTopic = (instance: string): NodeTopic => `node:${instance}` as NodeTopic

/**
 * Carries messages between nodes, by topic. A message arrives once at each node that joined its topic, or is lost. Messages
 * of one node on one topic arrive in the order of the calls.
 */
export interface Bus extends AsyncDisposable {
  readonly kind: 'none' | 'redis'
  /** Random name of this process on the bus. NODE_ID is chosen by operators, so two nodes may share it. */
  readonly instance: string
  /** Whether messages leave and reach this node now. False within 3 s after the connection fails. */
  isUp(): boolean
  /** Sets the receiver of all messages on joined topics, own ones included. Call once, before the first join. */
  listen(receive: (topic: BusTopic, message: string) => void): void
  /**
   * Publishes to every node that joined the topic, this one included. Resolves with their number; pattern subscribers of
   * other programs do not count. Rejects with StoreAway while the bus is away.
   */
  publish(topic: BusTopic, message: string): Promise<number>
  /** Like `publish`, but publishes nothing and returns 0 if no other node joined the topic. A plain value over links. */
  publishToOthers(topic: BusTopic, message: string): Awaitable<number>
  /**
   * Resolves once messages on the topic reach this node; a plain value if they do already. While the bus is away it
   * resolves at once: the topic is joined when the bus is back, and `onBack` follows.
   */
  join(topic: BusTopic): Awaitable<void>
  /** Leaves the topic 2 s later, unless it is joined again. */
  leave(topic: BusTopic): void
  /** Subscriber of this node, for `evict` by others; undefined while the bus is away. */
  readonly subscriber: string | undefined
  /** Ends another node's subscriptions: it no longer answers. It joins again when it recovers. Never rejects. */
  evict(subscriber: string): Promise<void>
}
