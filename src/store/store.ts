import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Priority } from '../notification/notification.ts'
import type { Topic } from '../notification/topic.ts'

/** What is to be appended to one user's log. */
export interface Draft {
  /** The user's topic. */
  readonly owner: Topic
  /** Notification id: an id the log knows is not appended again. */
  readonly id: string
  /** The encoded notification without its closing brace (`notification/frame.ts`). */
  readonly body: string
  readonly priority: Priority
  /** End by ttl, milliseconds since 1970: delivered while now <= expiresAt. */
  readonly expiresAt?: number
}

export interface Appended {
  readonly cursor: Cursor
  /** The log already knew the id; the cursor is that of the first time. */
  readonly repeated: boolean
}

export interface Entry {
  readonly seq: number
  readonly body: string
}

/** The head an earlier life of the log had when it ended. */
export interface Base {
  readonly epoch: Epoch
  readonly seq: number
}

/** What a connection that starts needs to know of the log. */
export interface Opened {
  /** Its last entry; seq 0 when it never had one. */
  readonly head: Cursor
  /** Everything up to here has been read by some device of the user. */
  readonly received: number
  /** The highest seq that overflow or age removed; what elapsed by its own ttl does not count. */
  readonly removedThrough: number
  /** Earlier lives, oldest first: a base's seq is what the life named by its epoch shares with all later ones. */
  readonly bases: readonly Base[]
}

export interface Page {
  /** The log's life now, whatever the reader believes. */
  readonly epoch: Epoch
  /** Oldest first, unexpired by the store's clock. */
  readonly entries: readonly Entry[]
  /** Answered up to here: what is absent at or below has expired or was removed. */
  readonly through: number
  readonly removedThrough: number
}

/** A page ends at whichever is reached first; it holds at least one entry when there is one. */
export interface PageLimit {
  readonly entries: number
  /** Of the bodies, in characters. */
  readonly bytes: number
}

/** The ordered, retained notifications of each user. */
export interface Log {
  /** Appends all or none, in the order given; resolves when they would survive what the store promises to survive. */
  append(drafts: readonly Draft[]): Promise<readonly Appended[]>
  /** What a starting connection needs, in one read. */
  open(owner: Topic): Promise<Opened>
  /** How many retained, unexpired entries follow `after`. */
  count(owner: Topic, after: number): Promise<number>
  /** Entries after `after`, oldest first. */
  read(owner: Topic, after: number, limit: PageLimit): Promise<Page>
  /** Everything up to this cursor has been read by some device of the user. Late is fine, early never; another epoch is ignored. */
  received(owner: Topic, cursor: Cursor): void
  /** Unexpired entries, and users who have any. */
  totals(): Promise<{ readonly messages: number; readonly users: number }>
}

export interface StoreLimits {
  /** Unexpired entries kept per user. */
  readonly maxEntries: number
  /** Age at which an entry ends, milliseconds. */
  readonly retentionMs: number
  /** How often what ended is physically removed, milliseconds. */
  readonly cleanupMs: number
}

export interface Store extends AsyncDisposable {
  readonly kind: 'memory'
  readonly log: Log
}
