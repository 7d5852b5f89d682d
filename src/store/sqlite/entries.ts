import type { Database } from 'bun:sqlite'
import { tenantOf } from '../../notification/topic.ts'
import type { StoreLimits } from '../store.ts'
import type { AppendedRow, DraftRow, ObserverCall } from './batch.ts'
import type { Bodies, SharedBody } from './bodies.ts'
import { type Cause, ENTRY, type EntryRow, endOf, isOpen, isPending, numberOf, stateOf } from './entry.ts'
import type { Head, Heads } from './heads.ts'
import { createOverflow } from './overflow.ts'
import { ENTRY_BYTES } from './schema.ts'
import { encodeText } from './text.ts'

/** State that the verbs of one batch share. */
export interface BatchContext {
  /** Milliseconds since 1970. */
  now: number
  /** How far the wall clock is ahead of `now`, milliseconds. */
  jumped: number
  /** Entries appended since the last purge. */
  appended: number
  /** Whether every entry that has ended by `now` has left its log. */
  isClean: boolean
  /** Calls of the observer, made after the commit. */
  observerCalls: ObserverCall[]
  /** Counts one entry as processed. */
  work(): void
}

/** Appends entries to logs, and removes them. */
export interface Entries {
  append(drafts: readonly DraftRow[]): readonly AppendedRow[]
  leave(head: Head, entry: EntryRow, cause: Cause): void
  /** Whether a retained entry has ended. */
  hasEnded(entry: EntryRow): boolean
  /** Earliest end by ttl among the entries appended since the last call; infinite for none. */
  takeEarliestTtl(): number
}

/** Evictions per append. Several happen only after the limit was lowered; the next appends continue. */
const MAX_EVICTED = 100

export function createEntries(
  db: Database,
  {
    heads,
    bodies,
    limits,
    context,
  }: {
    readonly heads: Heads
    readonly bodies: Bodies
    readonly limits: StoreLimits
    readonly context: BatchContext
  },
): Entries {
  const insert = db.query(
    `INSERT INTO entries (n, log, seq, id, rank, occurred_at, expires_at, ages_at, at, event_type, trace, body, shared)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, log) DO NOTHING`,
  )
  const noteJump = db.query('UPDATE entries SET jumped = ? WHERE n = ?')
  const byId = db.query<EntryRow, [string, number]>(`SELECT ${ENTRY} FROM entries WHERE id = ? AND log = ?`)
  const ended = db.query<EntryRow, [number, number]>(
    `SELECT ${ENTRY} FROM entries WHERE log = ?1 AND is_kept = 1 AND (ages_at < ?2 OR expires_at < ?2) LIMIT 1`,
  )
  const strip = db.query(
    'UPDATE entries SET is_kept = 0, body = NULL, shared = NULL, trace = NULL WHERE n = ?',
  )
  const bury = db.query(
    'UPDATE entries SET is_kept = 0, body = NULL, shared = NULL, trace = NULL, state = ?, at = ? WHERE n = ?',
  )
  const remove = db.query('DELETE FROM entries WHERE n = ?')
  const overflow = createOverflow(db, limits)
  let earliestTtl = Number.POSITIVE_INFINITY
  // Numbers come from here: SQLite would reuse the highest one, and age has already passed it.
  let last = db.query<{ n: number | null }, []>('SELECT max(n) AS n FROM entries').get()?.n ?? 0

  const leave = (head: Head, entry: EntryRow, cause: Cause): void => {
    context.work()
    const isAcked = entry.is_acked === 1
    const isReceived = entry.seq <= head.received
    const pending = limits.acknowledged && isPending(entry)
    const isSettled = limits.acknowledged ? isAcked : isReceived
    const state = cause === 'overflow' ? 'dropped' : 'expired'
    // With acknowledgement off an evicted entry that was handed over keeps its state.
    const isKept = cause === 'overflow' && !limits.acknowledged && stateOf(entry) !== 'queued'
    if (isOpen(entry) && !isKept) bury.run(numberOf(state), context.now, entry.n)
    else strip.run(entry.n)
    if (cause !== 'ttl') {
      head.removedThrough = Math.max(head.removedThrough, entry.seq)
      if (!isReceived && !isAcked) head.lostThrough = Math.max(head.lostThrough, entry.seq)
    }
    heads.count(head, entry.rank, -1, -(entry.size ?? 0))
    if (entry.shared !== null) bodies.release(entry.shared)
    context.observerCalls.push(['left', head.owner, { state, unsettled: !isSettled, pending }])
  }

  const makeRoom = (head: Head): void => {
    for (let n = 0; head.total > limits.maxEntries && n < MAX_EVICTED; n++) {
      const over = context.isClean ? null : ended.get(head.id, context.now)
      const entry = over ?? overflow.victim(head)
      if (entry === undefined) return
      leave(head, entry, over === null ? 'overflow' : endOf(over))
    }
  }

  /** End by ttl on the store's clock, so that the wall clock may jump. */
  const endByTtl = ([, , , , , , expiresAt]: DraftRow): number | undefined =>
    expiresAt === undefined ? undefined : expiresAt - context.jumped

  const add = (head: Head, draft: DraftRow, body: string | SharedBody): boolean => {
    const [, id, , eventType, occurredAt, rank, , trace] = draft
    const expiresAt = endByTtl(draft)
    const isShared = typeof body !== 'string'
    const { changes } = insert.run(
      last + 1,
      head.id,
      head.seq + 1,
      id,
      rank,
      occurredAt,
      expiresAt ?? null,
      context.now + limits.retentionMs,
      context.now,
      encodeText(eventType),
      trace ?? null,
      isShared ? null : body,
      isShared ? body.n : null,
    )
    if (changes === 0) return false
    last++
    if (context.jumped !== 0) noteJump.run(context.jumped, last)
    context.appended++
    earliestTtl = Math.min(earliestTtl, expiresAt ?? earliestTtl)
    heads.count(head, rank, 1, ENTRY_BYTES + (isShared ? 0 : Buffer.byteLength(body)))
    if (isShared) body.entries++
    return true
  }

  const hasEnded = ({ ages_at, expires_at }: EntryRow): boolean =>
    context.now > Math.min(ages_at, expires_at ?? ages_at)

  /** Finds the retained entry with that id. Deletes the row of one that has left its log. */
  const known = (head: Head, id: string): EntryRow | undefined => {
    const entry = byId.get(id, head.id)
    if (entry === null) return undefined
    if (entry.is_kept === 1 && !hasEnded(entry)) return entry
    if (entry.is_kept === 1) leave(head, entry, endOf(entry))
    remove.run(entry.n)
    heads.weigh(head, -ENTRY_BYTES)
    return undefined
  }

  const appendOne = (draft: DraftRow, body: string | SharedBody): AppendedRow => {
    context.work()
    const [owner, id] = draft
    const head = heads.findOrMake(owner)
    // A draft that arrives expired only uses up a seq.
    const isLate = context.now > (endByTtl(draft) ?? context.now)
    if (isLate || !add(head, draft, body)) {
      const entry = known(head, id)
      if (entry !== undefined) return [head.epoch, entry.seq, true]
      if (!isLate) add(head, draft, body)
    }
    head.seq++
    head.appendedAt = context.now
    heads.markChanged(head)
    makeRoom(head)
    return [head.epoch, head.seq, false]
  }

  /** Drafts of one notification are adjacent. Only the first one carries the body. */
  const append = (drafts: readonly DraftRow[]): readonly AppendedRow[] => {
    let body: string | SharedBody = ''
    const all: (readonly [body: SharedBody, text: string])[] = []
    const appended = drafts.map((draft, n) => {
      const [owner, , own] = draft
      if (own === undefined) return appendOne(draft, body)
      const text = encodeText(own)
      const next = drafts[n + 1]
      const isShared = next !== undefined && next[2] === undefined
      body = isShared ? bodies.begin(tenantOf(owner), text) : text
      if (typeof body !== 'string') all.push([body, text])
      return appendOne(draft, body)
    })
    for (const [shared, text] of all) bodies.keep(shared, text)
    return appended
  }

  return {
    append,
    leave,
    hasEnded,
    takeEarliestTtl: () => {
      const taken = earliestTtl
      earliestTtl = Number.POSITIVE_INFINITY
      return taken
    },
  }
}
