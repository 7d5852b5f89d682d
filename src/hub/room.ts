import type { Topic } from '../notification/topic.ts'
import type { Connection } from './connection.ts'
import { MemberSet, type Members } from './members.ts'

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

/** The connections of a topic. All members count; only listening ones receive crowd frames. */
export class Room {
  readonly topic: Topic
  readonly #members = new MemberSet()
  #shards = NO_SHARDS
  #named = 0

  constructor(topic: Topic) {
    this.topic = topic
  }

  get members(): Members {
    return this.#members
  }

  get shards(): readonly Shard[] {
    return this.#shards
  }

  add(connection: Connection): void {
    this.#members.add(connection)
  }

  listen(connection: Connection): void {
    if (!this.#members.has(connection) || this.#shardOf(connection) !== undefined) return
    const shard = this.#shards.find(each => each.size < SHARD_SIZE) ?? this.#addShard()
    const native = connection.listen(shard.name)
    ;(native ? shard.sockets : shard.streams).add(connection)
  }

  remove(connection: Connection): void {
    this.#members.delete(connection)
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
