import type { Database } from 'bun:sqlite'
import type { Topic } from '../../notification/topic.ts'
import type { StoreLimits } from '../store.ts'
import type { Part } from './batch.ts'
import type { BatchContext, Entries } from './entries.ts'
import { ENTRY, type EntryRow, endOf } from './entry.ts'
import { type Heads, isBare } from './heads.ts'
import { newName } from './life.ts'
import { ENTRY_BYTES } from './schema.ts'

/** Removal of entries and other items by age. */
export interface Expiry {
  /** Removes a bounded number of ended entries from their logs. Sets `isClean` when none is left. */
  purge(): void
  /** Physically removes a bounded number of obsolete items of one part. Returns whether there are more. */
  cleanUp(part: Part): boolean
  /** Skips purging for a minute, because it failed and appends must not fail with it. */
  pause(): void
  begin(): void
  /** Undoes the changes since `begin`. */
  rollBack(): void
}

interface OwnedRow extends EntryRow {
  readonly owner: Topic
}

interface IdleLogRow {
  readonly id: number
  readonly owner: Topic
  readonly appended_at: number
}

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000
/** Bounds per transaction, plus twice what the last one appended. Otherwise a busy file would only grow. */
const MAX_PURGED = 500
const MAX_REMOVED = 1_000
const PER_APPENDED = 2
const MAX_TO_REMOVE = 20_000
const PAUSE_MS = 60_000

export function createExpiry(
  db: Database,
  {
    heads,
    entries,
    limits,
    context,
  }: {
    readonly heads: Heads
    readonly entries: Entries
    readonly limits: StoreLimits
    readonly context: BatchContext
  },
): Expiry {
  const columns = ENTRY.replace(/\bseq\b/, 'entries.seq')
  const following = db.query<OwnedRow, [number, number]>(
    `SELECT ${columns}, owner FROM entries JOIN logs ON logs.id = log WHERE n > ? ORDER BY n LIMIT ?`,
  )
  const byTtl = db.query<OwnedRow, [number, number]>(
    `SELECT ${columns}, owner FROM entries INDEXED BY entries_by_ttl JOIN logs ON logs.id = log
     WHERE is_kept = 1 AND expires_at < ? ORDER BY expires_at LIMIT ?`,
  )
  const nextByTtl = db.query<{ expires_at: number | null }, []>(
    `SELECT min(expires_at) AS expires_at FROM entries INDEXED BY entries_by_ttl
     WHERE is_kept = 1 AND expires_at IS NOT NULL`,
  )
  const leftBehind = db.query<{ n: number; owner: Topic | null }, [number, number]>(
    `SELECT n, owner FROM entries LEFT JOIN logs ON logs.id = log
     WHERE n <= ? AND is_kept = 0 ORDER BY n LIMIT ?`,
  )
  const removeEntry = db.query('DELETE FROM entries WHERE n = ?')
  const removeKeys = db.query(
    'DELETE FROM keys WHERE n IN (SELECT n FROM (SELECT n, first_at FROM keys ORDER BY n LIMIT ?) WHERE first_at < ?)',
  )
  const removeRevocations = db.query(
    'DELETE FROM revocations WHERE owner IN (SELECT owner FROM revocations WHERE until < ? ORDER BY until LIMIT ?)',
  )
  const someLogs = db.query<IdleLogRow, [number, number]>(
    'SELECT id, owner, appended_at FROM logs WHERE id > ? ORDER BY id LIMIT ?',
  )

  /** All entries up to this number have left their logs. */
  let aged = 0
  let agedBefore = 0
  /** When the next entry ends by age, as far as known; `nextTtl` likewise by ttl. */
  let nextAge = 0
  let nextTtl = 0
  /** Last log visited in this round; 0 between rounds. */
  let visited = 0
  let pausedUntil = 0
  let hasMore = false
  /** Twice the number of appended entries since the last removal, up to a bound. */
  let toRemove = 0

  const leaveAged = (most: number): number => {
    if (context.now <= nextAge) return 0
    const rows = following.all(aged, most)
    let seen = 0
    for (const row of rows) {
      nextAge = row.ages_at
      if (context.now <= row.ages_at) break
      const head = row.is_kept === 1 ? heads.find(row.owner) : undefined
      if (head !== undefined) entries.leave(head, row, endOf(row))
      aged = row.n
      seen++
    }
    return seen
  }

  const leaveByTtl = (most: number): number => {
    nextTtl = Math.min(nextTtl, entries.takeEarliestTtl())
    if (context.now <= nextTtl) return 0
    const rows = byTtl.all(context.now, most)
    for (const row of rows) {
      const head = heads.find(row.owner)
      if (head !== undefined) entries.leave(head, row, endOf(row))
    }
    if (rows.length < most) nextTtl = nextByTtl.get()?.expires_at ?? Number.POSITIVE_INFINITY
    return rows.length
  }

  const purge = (): void => {
    context.isClean = false
    hasMore = false
    if (context.now < pausedUntil) return
    const most = MAX_PURGED + PER_APPENDED * context.appended
    toRemove = Math.min(toRemove + PER_APPENDED * context.appended, MAX_TO_REMOVE)
    context.appended = 0
    hasMore = [leaveByTtl(most), leaveAged(most)].includes(most)
    context.isClean = !hasMore
  }

  /** Deletes the rows of entries that left their logs by age. Returns whether there may be more. */
  const removeEntries = (): boolean => {
    const most = MAX_REMOVED + toRemove
    toRemove = 0
    const rows = leftBehind.all(aged, most)
    for (const { n, owner } of rows) {
      context.work()
      const head = owner === null ? undefined : heads.find(owner)
      if (head !== undefined) heads.weigh(head, -ENTRY_BYTES)
      removeEntry.run(n)
    }
    return rows.length === most
  }

  /** Selects old logs by the file, then checks the head: this batch may have changed it without writing it yet. */
  const visitLogs = (): boolean => {
    const before = context.now - HEAD_KEPT_MS
    const rows = someLogs.all(visited, MAX_REMOVED)
    for (const { owner, appended_at } of rows) {
      const head = appended_at < before ? heads.find(owner) : undefined
      // A forgotten log restarts at seq 1. A new epoch makes its old cursors invalid.
      if (head !== undefined && isBare(head) && head.appendedAt < before) heads.forget(head, newName())
    }
    visited = rows.length < MAX_REMOVED ? 0 : (rows.at(-1)?.id ?? 0)
    return visited > 0
  }

  return {
    purge,
    cleanUp: part => {
      switch (part) {
        case 'entries':
          return removeEntries() || hasMore
        case 'keys':
          return removeKeys.run(MAX_REMOVED, context.now - limits.idempotencyTtlMs).changes === MAX_REMOVED
        case 'revocations':
          return removeRevocations.run(context.now, MAX_REMOVED).changes === MAX_REMOVED
        case 'logs':
          return visitLogs()
      }
    },
    pause: () => {
      pausedUntil = context.now + PAUSE_MS
    },
    begin: () => {
      agedBefore = aged
    },
    rollBack: () => {
      aged = agedBefore
      nextAge = 0
      nextTtl = 0
    },
  }
}
