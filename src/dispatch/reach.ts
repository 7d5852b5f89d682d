import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Span } from '../lib/trace-context.ts'
import type { Audience } from '../notification/audience.ts'
import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { CloseReason } from '../protocol/close-codes.ts'
import type { Push } from '../store/push.ts'
import type { Census } from './census.ts'

/**
 * The port to every open connection. Arguments and results are plain data: a bus can send them and merge the answers.
 * A local answer needs no promise, so a send stays synchronous after its append. `span` is the parent of the span of a bus.
 */
export interface Reach {
  /** Offers entries to their owners' connections; one result per entry, in order. All entries share `body`. */
  offer(
    entries: readonly LoggedEntry[],
    body: string,
    acceptedAt: number,
    span?: Span,
  ): Awaitable<readonly UserReach[]>
  /** Writes past the log, to live connections only; one result per owner, in order. */
  write(owners: readonly Topic[], message: UnloggedMessage, span?: Span): Awaitable<readonly UserReach[]>
  /** Like `write`, for one owner: the commonest send of all. At once without a bus. */
  writeOne(owner: Topic, message: UnloggedMessage, span?: Span): Awaitable<UserReach>
  /** Writes to a crowd, in the order of the calls. Each connection gets the message once. */
  publish(crowd: CrowdAddress, message: UnloggedMessage, span?: Span): Promise<WriteCount>
  /** Writes an entry again to the owner's live WebSockets that are past its place. */
  redeliver(entry: RepeatedEntry): Awaitable<WriteCount>
  /** Records acknowledgements of messages outside any log that this node wrote; one result per id, in order. */
  acknowledge(owner: Topic, ids: readonly string[]): Awaitable<readonly UnloggedAck[]>
  /** Like `acknowledge`, for messages that other nodes wrote; undefined without a bus. */
  acknowledgeElsewhere(owner: Topic, ids: readonly string[]): Promise<readonly UnloggedAck[]> | undefined
  /** Whether each owner has a connection, live or not; in the order of the owners. */
  areConnected(owners: readonly Topic[]): Awaitable<readonly boolean[]>
  /** Whether the owner has a live WebSocket on this node: then the time to acknowledge runs here. */
  hasLiveSocket(owner: Topic): Awaitable<boolean>
  /** Closes all connections of the owner and counts them. `text` of at most 123 bytes goes into the close frame. */
  close(owner: Topic, reason: CloseReason, text?: string): Awaitable<number>
  /** Open connections of this node that count against the limits, at once: check and registration share a turn. */
  openConnections(tenant: string, owner: Topic): OpenConnections
  /**
   * Open connections of other nodes that count against the limits in force; undefined without a bus. Takes at most 500 ms,
   * and the count of a tenant may be a second old, or a tenth of a second if it fills the tenant. Ask before the turn that
   * registers a connection.
   */
  countElsewhere(
    tenant: string,
    user: string,
    limited: Readonly<Record<keyof OpenConnections, boolean>>,
    /** Whether so many connections on other nodes leave the tenant no room. */
    isFull?: (elsewhere: number) => boolean,
  ): Promise<OpenConnections> | undefined
  readonly census: Census
}

/** An entry that the log of its owner has taken. */
export interface LoggedEntry {
  readonly owner: Topic
  readonly cursor: Cursor
  /** The log knew the notification before: a connection that has it counts no delivery. */
  readonly repeated: boolean
  /** Set when the store published the entry to other nodes. */
  readonly push?: Push | undefined
}

export interface RepeatedEntry {
  readonly owner: Topic
  readonly cursor: Cursor
  readonly body: string
  /** Counts from 1. */
  readonly redelivered: number
}

/** A notification without a place in a log. */
export interface UnloggedMessage {
  readonly id: string
  /** As `encode` makes it. */
  readonly body: string
  /** Monotonic milliseconds of this node; a bus sends the elapsed time. */
  readonly acceptedAt: number
}

/** Connections in any of the topics that match the audience. All topics belong to one tenant. */
export interface CrowdAddress {
  readonly topics: readonly Topic[]
  readonly audience?: Audience | undefined
}

/** Connections that took a message, and that refused it. */
export interface WriteCount {
  readonly delivered: number
  readonly failed: number
}

/** The result for one user. */
export interface UserReach extends WriteCount {
  /** A connection of the user has the message, from now or from before. */
  readonly has: boolean
}

/** `late`: after the timeout, not counted; `unknown`: this user did not get such a message. */
export type UnloggedAck = 'acked' | 'late' | 'unknown'

export interface OpenConnections {
  readonly tenant: number
  readonly user: number
}

export const NO_CONNECTIONS: OpenConnections = { tenant: 0, user: 0 }
