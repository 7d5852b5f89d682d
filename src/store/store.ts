import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Priority } from '../protocol/values.ts'
import type { Idempotency } from './idempotency.ts'
import type { PageLimit } from './page-limit.ts'
import type { Templates } from './template.ts'

/** What is to be appended to one user's log. */
export interface Draft {
  /** The user's topic. */
  readonly owner: Topic
  /** Notification id: an id the log knows is not appended again. */
  readonly id: string
  /** The encoded notification without its closing brace (`notification/frame.ts`). */
  readonly body: string
  readonly eventType: string
  /** Milliseconds since 1970. */
  readonly occurredAt: number
  readonly priority: Priority
  /** End by ttl, milliseconds since 1970: delivered while now <= expiresAt. */
  readonly expiresAt?: number
  /** `traceparent` of the dispatch, when its trace is sent: later work on the entry links to it. */
  readonly traceparent?: string
}

export interface AppendResult {
  readonly cursor: Cursor
  /** The log already knew the id; the cursor is that of the first time. */
  readonly repeated: boolean
}

export interface Entry {
  readonly seq: number
  readonly body: string
  readonly traceparent?: string
}

/**
 * State of one user's notification. `received`: a device proved to have read it, without an acknowledgement. `dropped`:
 * overflow evicted it before it was acknowledged or, with acknowledgement off, before it was handed over.
 */
export type DeliveryState = 'queued' | 'sent' | 'received' | 'acked' | 'expired' | 'dropped'

export interface ListedEntry extends Entry {
  readonly state: DeliveryState
}

/** One user a notification was for. */
export interface Recipient {
  readonly owner: Topic
  readonly state: DeliveryState
  /** How often it was handed over: first delivery, replays, redeliveries; several devices at once count one. */
  readonly attempts: number
  /** When it came into this state, by the wall clock of that moment. */
  readonly at: number
}

/** A notification for users, as long as anything is known of it. */
export interface DeliveryReport {
  readonly id: string
  readonly eventType: string
  readonly occurredAt: number
  readonly expiresAt?: number
  /** In the order of the send, each once. */
  readonly recipients: readonly Recipient[]
}

/** The head an earlier life of the log had when it ended. */
export interface Base {
  readonly epoch: Epoch
  readonly seq: number
}

/** What a connection that starts needs to know of the log. */
export interface LogStart {
  /** Its last entry; seq 0 when it never had one. */
  readonly head: Cursor
  /** Everything up to here has been read by some device of the user. */
  readonly received: number
  /** The highest seq that overflow or age removed; what elapsed by its own ttl does not count. */
  readonly removedThrough: number
  /** The highest seq that overflow or retention age removed before any device of the user had received it; 0 for none. */
  readonly lostThrough: number
  /** Earlier lives, oldest first: a base's seq is what the life named by its epoch shares with all later ones. */
  readonly bases: readonly Base[]
}

export interface Page<E extends Entry = Entry> {
  /** The log's life now, whatever the reader believes. */
  readonly epoch: Epoch
  /** Oldest first, unexpired by the store's clock. */
  readonly entries: readonly E[]
  /** Answered up to here: what is absent at or below has expired or was removed. */
  readonly through: number
  readonly removedThrough: number
}

/** The ordered, retained notifications of each user. */
export interface UserLog {
  /**
   * Appends all or none, in the order given; resolves when they would survive what the store promises to survive. Rejects
   * within a second of a store that is away, or does not answer: then nobody knows what was appended, and trying again
   * with the same ids adds nothing twice. Rejects with StoreAway then, and with StoreFull when `maxBytes` or
   * `tenantMaxBytes` is reached. Drafts of one notification share one `body`: a store keeps it once.
   */
  append(drafts: readonly Draft[]): Promise<readonly AppendResult[]>
  /** What a starting connection needs, in one read. */
  open(owner: Topic): Promise<LogStart>
  /** Where these logs end now, in the same order. */
  heads(owners: readonly Topic[]): Promise<readonly Cursor[]>
  /** How many retained, unexpired entries follow `after`. */
  count(owner: Topic, after: number): Promise<number>
  /** Entries after `after`, oldest first; without those that are acknowledged when only unsettled ones are asked for. */
  read(owner: Topic, after: number, limit: PageLimit, unsettledOnly?: boolean): Promise<Page>
  /** The same with their state; reading changes nothing. */
  list(owner: Topic, after: number, limit: PageLimit): Promise<Page<ListedEntry>>
  /** These were handed to at least one socket of the user. Batched; a crash may forget it. */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  /** What is known of a notification of that tenant; `after` and `limit` choose among its recipients. */
  report(
    tenant: string,
    id: string,
    recipients: { readonly after?: Topic; readonly limit: number },
  ): Promise<DeliveryReport | undefined>
  /**
   * Some device of the user has read everything up to this cursor: entries up to it that were `queued` or `sent` become
   * `received` now. May be late, never early; another epoch is ignored.
   */
  received(owner: Topic, cursor: Cursor): void
  /** Costs the same however much is stored. */
  totals(): Promise<Totals>
}

export interface Totals {
  /** Unexpired entries. */
  readonly messages: number
  /** Users with an unexpired entry. */
  readonly users: number
  /**
   * What logs hold, as `maxBytes` counts it: the UTF-8 bytes of each notification's body once, and for each entry (one per
   * notification and user) and each user whose log is known about what it takes in this store. A log stays known for 30
   * days after its last append. An append is refused when what it would add, evictions aside, exceeds a limit; an append
   * that adds nothing (known ids) never is.
   */
  readonly bytes: number
}

/** What an acknowledgement found: in time or repeated, or `late`, when the notification had been given up or had gone before. */
export interface AckResult {
  readonly late: boolean
  readonly cursor: Cursor
}

/** Acknowledgements, and who is still to give one. */
export interface Acks {
  /** Of single notifications; the answers in the order of the ids, undefined for those that are not this user's. */
  ack(owner: Topic, ids: readonly string[]): Promise<readonly (AckResult | undefined)[]>
  /** Of everything up to the cursor: how many were acknowledged by it; undefined for another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): Promise<number | undefined>
  /**
   * One delivery more of an entry that waits for its acknowledgement, or, when it has had `most`, its end as `expired`.
   * Undefined when there is nothing to deliver: acknowledged, given up, gone, or of another epoch.
   */
  redeliver(owner: Topic, cursor: Cursor, most: number): Promise<Redelivery | undefined>
}

export interface Redelivery {
  readonly body: string
  readonly traceparent?: string
  /** 1 for the first delivery after the first. */
  readonly redelivered: number
}

/** Whose tokens count for nothing, and which. All moments in milliseconds since 1970. */
export interface Revocations {
  /**
   * Tokens of the user made before `before` are revoked until `until`; of two revocations the later moments hold. Resolves
   * when it would survive what the store promises to survive. `full`: the user's tenant has `maxRevocations` of other
   * users in force, and nothing is recorded.
   */
  revoke(owner: Topic, before: number, until: number): Promise<'revoked' | 'full'>
  /** Undefined for a user of whom none is revoked. Not a promise when that is known at once. */
  before(owner: Topic): number | undefined | Promise<number | undefined>
}

/** What a store sees happen to entries; told at once, for statistics. */
export interface StoreObserver {
  /** With acknowledgement on: entries handed over for the first time, which wait for it now. */
  tracked(owner: Topic, count: number): void
  acked(owner: Topic, latencyMs: number): void
  /** Given up after its last delivery. */
  gaveUp(owner: Topic): void
  /** Gone from the log; `unsettled`: neither received nor acknowledged; `pending`: its acknowledgement was still waited for. */
  left(
    owner: Topic,
    how: { readonly state: DeliveryState; readonly unsettled: boolean; readonly pending: boolean },
  ): void
  /** Logs may end further than appends have answered: it was away, or something was appended after its time was up. */
  resumed(): void
}

export interface StoreLimits {
  /** Unexpired entries kept per user. */
  readonly maxEntries: number
  /** Age at which an entry ends, milliseconds. */
  readonly retentionMs: number
  /** How often what ended is physically removed, milliseconds. */
  readonly cleanupMs: number
  /** Whether entries are settled by acknowledgement; else by having been received. */
  readonly acknowledged: boolean
  /** Of notifications that are in no log any more, so many stay known by their id. */
  readonly maxReports: number
  /** Bytes that all logs, and those of one tenant, may hold; 0 = no limit. */
  readonly maxBytes: number
  readonly tenantMaxBytes: number
  /** Users of one tenant with a revocation in force. */
  readonly maxRevocations: number
  /** How long a key stays used, milliseconds. */
  readonly idempotencyTtlMs: number
}

export interface Store extends AsyncDisposable {
  readonly kind: 'memory' | 'sqlite' | 'redis'
  /** Whether it would take an append now. */
  isUp(): boolean
  /** Whether what is kept stays there; `/health` says so when not, though sends are taken. Absent: it does. */
  isSafe?(): boolean
  readonly idempotency: Idempotency
  readonly log: UserLog
  readonly acks: Acks
  readonly revocations: Revocations
  readonly templates: Templates
}
