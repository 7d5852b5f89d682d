import type { Database } from 'bun:sqlite'
import type { Topic } from '../../notification/topic.ts'
import type { StoreLimits } from '../store.ts'
import { ENTRY, type Entries, type EntryRow, endOf, type Turn } from './entries.ts'
import type { Heads } from './heads.ts'
import { newName } from './life.ts'

/** What happens by the passing of time. */
export interface Ending {
  /** Takes out of their logs what has ended, a bounded number; says in the turn whether that was all. */
  purge(): void
  /** The same, and physically removes what nobody needs to know any more; whether there is more. */
  cleanUp(): boolean
  begin(): void
  /** What was done since the beginning is not true any more. */
  rollBack(): void
}

interface OwnedRow extends EntryRow {
  readonly owner: Topic
}

interface LogRow {
  readonly id: number
  readonly owner: Topic
  readonly appended_at: number
  readonly total: number
}

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000
/** Of one transaction. */
const MAX_PURGED = 500
const MAX_REMOVED = 1_000

export function createEnding(
  db: Database,
  {
    heads,
    entries,
    limits,
    turn,
  }: {
    readonly heads: Heads
    readonly entries: Entries
    readonly limits: StoreLimits
    readonly turn: Turn
  },
): Ending {
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
  const removeEntries = db.query(
    'DELETE FROM entries WHERE n IN (SELECT n FROM entries WHERE n <= ? AND is_kept = 0 ORDER BY n LIMIT ?)',
  )
  const removeKeys = db.query(
    'DELETE FROM keys WHERE n IN (SELECT n FROM (SELECT n, first_at FROM keys ORDER BY n LIMIT ?) WHERE first_at < ?)',
  )
  const removeRevocations = db.query('DELETE FROM revocations WHERE until < ?')
  const someLogs = db.query<LogRow, [number, number]>(
    `SELECT id, owner, appended_at, low + normal + high + critical AS total FROM logs WHERE id > ? ORDER BY id LIMIT ?`,
  )

  /** All entries up to this one have left their logs. */
  let aged = 0
  let agedBefore = 0
  /** When the next one ends by age, as far as is known; and by ttl. */
  let nextAge = 0
  let nextTtl = 0
  /** How far the round through the logs has come; none is under way at 0. */
  let visited = 0

  const leaveAged = (most: number): number => {
    if (turn.now <= nextAge) return 0
    const rows = following.all(aged, most)
    let seen = 0
    for (const row of rows) {
      nextAge = row.ages_at
      if (turn.now <= row.ages_at) break
      const head = row.is_kept === 1 ? heads.find(row.owner) : undefined
      if (head !== undefined) entries.leave(head, row, endOf(row))
      aged = row.n
      seen++
    }
    return seen
  }

  const leaveByTtl = (most: number): number => {
    nextTtl = Math.min(nextTtl, entries.takeEarliestTtl())
    if (turn.now <= nextTtl) return 0
    const rows = byTtl.all(turn.now, most)
    for (const row of rows) {
      const head = heads.find(row.owner)
      if (head !== undefined) entries.leave(head, row, endOf(row))
    }
    if (rows.length < most) nextTtl = nextByTtl.get()?.expires_at ?? Number.POSITIVE_INFINITY
    return rows.length
  }

  const purge = (): void => {
    const hasMore = [leaveByTtl(MAX_PURGED), leaveAged(MAX_PURGED)].includes(MAX_PURGED)
    turn.isClean = !hasMore
  }

  // A log that comes back begins at 1 again: under another name, or a cursor of the forgotten one would seem valid in it.
  const visitLogs = (): boolean => {
    const rows = someLogs.all(visited, MAX_REMOVED)
    for (const row of rows)
      if (row.total === 0 && turn.now > row.appended_at + HEAD_KEPT_MS) heads.forget(row, newName())
    visited = rows.length < MAX_REMOVED ? 0 : (rows.at(-1)?.id ?? 0)
    return visited > 0
  }

  return {
    purge,
    cleanUp: () => {
      purge()
      const before = turn.now - limits.idempotencyTtlMs
      const removed = [
        removeEntries.run(aged, MAX_REMOVED).changes,
        removeKeys.run(MAX_REMOVED, before).changes,
      ]
      removeRevocations.run(turn.now)
      return [visitLogs(), !turn.isClean, removed.includes(MAX_REMOVED)].includes(true)
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
