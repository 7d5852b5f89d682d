import type { Database } from 'bun:sqlite'
import type { StoreLimits } from '../store.ts'
import { ENTRY, type EntryRow } from './entry.ts'
import type { Head } from './heads.ts'

/** Chooses the entry that overflow evicts from a full log. */
export interface Overflow {
  victim(head: Head): EntryRow | undefined
}

/** From the lowest priority to the highest. */
const RANKS = [0, 1, 2, 3]

export function createOverflow(db: Database, limits: StoreLimits): Overflow {
  const firstOf = db.query<EntryRow, [number, number, number]>(
    `SELECT ${ENTRY} FROM entries WHERE log = ? AND is_kept = 1 AND seq >= ? AND rank = ? ORDER BY seq LIMIT 1`,
  )
  const settled = db.query<EntryRow, [number]>(
    `SELECT ${ENTRY} FROM entries INDEXED BY entries_settled
     WHERE log = ? AND is_kept = 1 AND is_acked = 1 ORDER BY seq LIMIT 1`,
  )

  /** Finds the oldest retained entry of a rank. */
  const oldest = (head: Head, rank: number): EntryRow | undefined => {
    if (head.counts[rank] === 0) return undefined
    const entry = firstOf.get(head.id, head.from[rank] ?? 0, rank)
    if (entry !== null) head.from[rank] = entry.seq
    return entry ?? undefined
  }

  /** Chooses the entry to evict by the overflow rule (`StoreLimits.maxEntries`). */
  const victim = (head: Head): EntryRow | undefined => {
    if (limits.acknowledged) return settled.get(head.id) ?? lowest(head)
    if (head.received === 0) return lowest(head)
    const all = RANKS.map(rank => oldest(head, rank)).filter(entry => entry !== undefined)
    const first = all.toSorted((a, b) => a.seq - b.seq)[0]
    return first !== undefined && first.seq <= head.received ? first : all[0]
  }

  const lowest = (head: Head): EntryRow | undefined => {
    for (const rank of RANKS) {
      const entry = oldest(head, rank)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  return { victim }
}
