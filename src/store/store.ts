import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Priority } from '../protocol/values.ts'
import type { Acks } from './acks.ts'
import type { Idempotency } from './idempotency.ts'
import type { PageLimit } from './page-limit.ts'
import type { Push } from './push.ts'
import type { Revocations } from './revocations.ts'
import type { Templates } from './template.ts'

/** An entry to append to one user's log. */
export interface Draft {
  /** The user's topic. */
  readonly owner: Topic
  /** Notification id. An id that the log already knows is not appended again. */
  readonly id: string
  /** The encoded notification without its closing brace (`notification/frame.ts`). */
  readonly body: string
  readonly eventType: string
  /** Milliseconds since 1970. */
  readonly occurredAt: number
  readonly priority: Priority
  /** When the ttl ends, in milliseconds since 1970. Delivered while now <= expiresAt. */
  readonly expiresAt?: number
  /** `traceparent` of the dispatch, set when its trace is sampled. Later work on the entry links to it. */
  readonly traceparent?: string
  /** When the send was accepted, monotonic milliseconds. */
  readonly acceptedAt?: number
}

export interface AppendResult {
  readonly cursor: Cursor
  /** The log already knew the id. `cursor` is then the cursor of the first append. */
  readonly repeated: boolean
  /** Set when the append published the entry to nodes that have connections of the owner. */
  readonly push?: Push
}

export interface Entry {
  readonly seq: number
  readonly body: string
  readonly traceparent?: string
}

/**
 * Delivery state of one user's notification.
 * - `received`: a device proved that it read the notification, without an acknowledgement.
 * - `dropped`: overflow evicted it before it was acknowledged. With acknowledgement off: before it was handed over.
 */
export type DeliveryState = 'queued' | 'sent' | 'received' | 'acked' | 'expired' | 'dropped'

export interface ListedEntry extends Entry {
  readonly state: DeliveryState
}

/** One user to whom a notification was addressed. */
export interface Recipient {
  readonly owner: Topic
  readonly state: DeliveryState
  /** Number of deliveries: the first one, replays and redeliveries. Several devices at the same time count as one. */
  readonly attempts: number
  /** Start of this state by the wall clock of that moment, milliseconds since 1970. */
  readonly at: number
}

/** Delivery status of a notification to users, kept until the store forgets the notification. */
export interface DeliveryReport {
  readonly id: string
  readonly eventType: string
  readonly occurredAt: number
  readonly expiresAt?: number
  /** In the order of the send, each user once. */
  readonly recipients: readonly Recipient[]
}

/** The head that an earlier life of the log had when that life ended. */
export interface Base {
  readonly epoch: Epoch
  readonly seq: number
}

/** State of the log that a starting connection needs. */
export interface LogStart {
  /** The last entry. The seq is 0 when the log never had an entry. */
  readonly head: Cursor
  /** Some device of the user has received every entry up to this seq. */
  readonly received: number
  /** The highest seq that overflow or age removed. Entries that ended by their own ttl do not count. */
  readonly removedThrough: number
  /** The highest seq that overflow or age removed before any device received it; 0 for none. */
  readonly lostThrough: number
  /** Earlier lives, oldest first. Each life shares every entry up to its base's seq with all later lives. */
  readonly bases: readonly Base[]
}

export interface Page<E extends Entry = Entry> {
  /** The current epoch of the log, whatever epoch the reader knows. */
  readonly epoch: Epoch
  /** Oldest first, without entries that have expired by the store's clock. */
  readonly entries: readonly E[]
  /** The page covers the log up to this seq. An entry missing up to here has expired or was removed. */
  readonly through: number
  readonly removedThrough: number
}

/** The ordered, retained notifications of each user. */
export interface UserLog {
  /**
   * Appends all drafts in the given order, or none. Drafts of one notification share one `body`, stored once.
   *
   * A store in this process answers at once. Resolves when the entries would survive what the store promises to survive. Rejects with StoreFull when `maxBytes`
   * or `tenantMaxBytes` is reached. Rejects with StoreAway, within a second, when the store is away or does not answer.
   * The outcome is then unknown. A retry with the same ids appends nothing twice.
   */
  append(drafts: readonly Draft[]): Awaitable<readonly AppendResult[]>
  /** Reads everything a starting connection needs, in one snapshot. */
  open(owner: Topic): Promise<LogStart>
  /** The heads of these logs, in the same order. */
  heads(owners: readonly Topic[]): Promise<readonly Cursor[]>
  /** Number of retained, unexpired entries after the seq `after`. */
  count(owner: Topic, after: number): Promise<number>
  /** Reads entries after the seq `after`, oldest first. `unsettledOnly` leaves out acknowledged entries. */
  read(owner: Topic, after: number, limit: PageLimit, unsettledOnly?: boolean): Promise<Page>
  /** Like `read`, with the state of each entry. Reading changes nothing. */
  list(owner: Topic, after: number, limit: PageLimit): Promise<Page<ListedEntry>>
  /**
   * Notes that these entries were handed to at least one socket of the user. Batched: a crash may lose the note. `isLive`:
   * other nodes may have noted this delivery too; then it counts once.
   */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[], isLive?: boolean): void
  /** Delivery status of a notification of the tenant. `after` and `limit` select a page of its recipients. */
  report(
    tenant: string,
    id: string,
    recipients: { readonly after?: Topic; readonly limit: number },
  ): Promise<DeliveryReport | undefined>
  /**
   * Notes that a device of the user has read everything up to this cursor. Entries up to it in state `queued` or `sent`
   * become `received`. The note may be late but must never be early. A cursor of another epoch is ignored.
   */
  received(owner: Topic, cursor: Cursor): void
  /** MUST cost the same however much is stored. */
  totals(): Promise<Totals>
}

export interface Totals {
  /** Unexpired entries. */
  readonly messages: number
  /** Users with an unexpired entry. */
  readonly users: number
  /**
   * Bytes that all logs hold, as `maxBytes` counts them. Each body counts once, in UTF-8 bytes. An entry is one
   * notification for one user. Each entry and each known log adds about the bytes it takes in this store. A log stays
   * known for 30 days after its last append; a reached limit forgets the oldest without entries. An append is refused
   * when the bytes it would add, ignoring evictions, exceed a limit. An append that adds nothing (known ids) is never refused.
   */
  readonly bytes: number
}

/** Receives events about entries for statistics, as they happen. */
export interface StoreObserver {
  /** With acknowledgement on: entries handed over for the first time. They now wait for their acknowledgement. */
  tracked(owner: Topic, count: number): void
  acked(owner: Topic, latencyMs: number): void
  /** An entry was given up after its last delivery. */
  gaveUp(owner: Topic): void
  /**
   * An entry left the log. `unsettled`: neither received nor acknowledged. `pending`: still waiting for its
   * acknowledgement.
   */
  left(
    owner: Topic,
    how: { readonly state: DeliveryState; readonly unsettled: boolean; readonly pending: boolean },
  ): void
  /** Logs may hold more than appends have reported: the store was away, or an append finished after its deadline. */
  resumed(): void
}

export interface StoreLimits {
  /**
   * Unexpired entries retained per user. Overflow rule: evict the oldest settled entry, whatever its priority; if no
   * entry is settled, evict the oldest entry of the lowest priority. `acknowledged` tells when an entry is settled.
   */
  readonly maxEntries: number
  /** Age at which an entry expires, milliseconds. */
  readonly retentionMs: number
  /** Interval at which ended entries are physically removed, milliseconds. */
  readonly cleanupMs: number
  /** Whether an acknowledgement settles an entry. Otherwise a receipt settles it. */
  readonly acknowledged: boolean
  /** Number of notifications that stay known by id after they have left every log. */
  readonly maxReports: number
  /** Bytes that all logs, and the logs of one tenant, may hold; 0 means no limit. */
  readonly maxBytes: number
  readonly tenantMaxBytes: number
  /** Number of users of one tenant that may have a revocation in force. */
  readonly maxRevocations: number
  /** How long an idempotency key stays in use, milliseconds. */
  readonly idempotencyTtlMs: number
}

/** A backend for data that outlives a connection. Each implementation must pass the tests in `test/contract`. */
export interface Store extends AsyncDisposable {
  readonly kind: 'memory' | 'sqlite' | 'redis'
  /** Whether the store would accept an append now. */
  isUp(): boolean
  /**
   * Whether stored data is safe from loss, for example from eviction. If false, `/health` reports it; sends are still
   * accepted. A store without this method is always safe.
   */
  isSafe?(): boolean
  readonly idempotency: Idempotency
  readonly log: UserLog
  readonly acks: Acks
  readonly revocations: Revocations
  readonly templates: Templates
}
