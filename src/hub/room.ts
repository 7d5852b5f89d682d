import type { Topic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import { MemberSet } from './members.ts'

/**
 * Connections of one room that one publish reaches. Bounded: a publish to 10,000 sockets stalls the loop for
 * 100 ms.
 */
export class Shard {
  /** Native topic of the sockets; unique on this node. */
  readonly name: string
  /** Connections that the runtime's own publish reaches. */
  readonly sockets = new Set<Connection>()
  /** Connections that are written to one by one. */
  readonly streams = new Set<Connection>()

  constructor(name: string) {
    this.name = name
  }

  get size(): number {
    return this.sockets.size + this.streams.size
  }
}

export const SHARD_SIZE = 1_000
/** Shared by all rooms without listeners, such as those of users. */
const NO_SHARDS: readonly Shard[] = []

/**
 * The connections of a topic. All members count; only listening ones receive crowd frames. A MemberSet itself, since each
 * user has a room: one object instead of two.
 */
export class Room extends MemberSet {
  readonly topic: Topic
  #shards = NO_SHARDS
  #named = 0

  constructor(topic: Topic) {
    super()
    this.topic = topic
  }

  get shards(): readonly Shard[] {
    return this.#shards
  }

  listen(connection: Connection): void {
    if (!this.has(connection) || this.#shardOf(connection) !== undefined) return
    const shard = this.#shards.find(each => each.size < SHARD_SIZE) ?? this.#addShard()
    const native = connection.listen(shard.name)
    ;(native ? shard.sockets : shard.streams).add(connection)
  }

  override delete(connection: Connection): void {
    super.delete(connection)
    const shard = this.#shardOf(connection)
    if (shard === undefined) return
    if (shard.sockets.delete(connection)) connection.unlisten(shard.name)
    shard.streams.delete(connection)
    if (shard.size === 0) this.#shards = this.#shards.filter(each => each !== shard)
  }

  #shardOf(connection: Connection): Shard | undefined {
    return this.#shards.find(({ sockets, streams }) => sockets.has(connection) || streams.has(connection))
  }

  #addShard(): Shard {
    const shard = new Shard(`${this.topic}#${this.#named++}`)
    this.#shards = [...this.#shards, shard]
    return shard
  }
}
