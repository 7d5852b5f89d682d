import type { Database } from 'bun:sqlite'
import type { State, StoreLimits } from '../store.ts'
import type { AppendedRow, DraftRow, Told } from './batch.ts'
import type { Head, Heads } from './heads.ts'
import { storable } from './text.ts'

/** In the order of their numbers in the file. */
export const STATES: readonly State[] = ['queued', 'sent', 'acked', 'expired', 'dropped']

/** An entry without its texts. */
export interface EntryRow {
  readonly n: number
  readonly seq: number
  readonly rank: number
  readonly state: number
  readonly attempts: number
  readonly redelivered: number
  readonly first_at: number
  readonly is_acked: number
  /** Delivered up to then, and up to the end of its ttl if it has one. */
  readonly ages_at: number
  readonly expires_at: number | null
  readonly is_kept: number
}

export const ENTRY =
  'n, seq, rank, state, attempts, redelivered, first_at, is_acked, ages_at, expires_at, is_kept'

export type Cause = 'ttl' | 'age' | 'overflow'

/** What would reach its ttl and its age in the same moment ends by its ttl. */
export const endOf = ({ ages_at, expires_at }: EntryRow): Cause =>
  expires_at !== null && expires_at <= ages_at ? 'ttl' : 'age'

/** What the verbs of one batch share. */
export interface Turn {
  /** Milliseconds since 1970. */
  now: number
  /** Whether everything that has ended by then is out of its log. */
  isClean: boolean
  /** For the observer, when the batch is committed. */
  told: Told[]
}

/** What enters logs, and what leaves them. */
export interface Entries {
  append(drafts: readonly DraftRow[]): readonly AppendedRow[]
  leave(head: Head, entry: EntryRow, cause: Cause): void
  /** Whether a retained entry has its time behind it. */
  hasEnded(entry: EntryRow): boolean
  /** The smallest end by ttl of those appended since it was last asked; infinite for none. */
  takeEarliestTtl(): number
}

/** Of one append: more only when the limit was lowered, and then the next ones go on. */
const MAX_EVICTED = 100
const CRITICAL = 3
const LOWER = [0, 1, 2]

const numberOf = (state: State): number => STATES.indexOf(state)
const SENT = numberOf('sent')

export function createEntries(
  db: Database,
  { heads, limits, turn }: { readonly heads: Heads; readonly limits: StoreLimits; readonly turn: Turn },
): Entries {
  const insert = db.query(
    `INSERT INTO entries (n, log, seq, id, rank, occurred_at, expires_at, ages_at, at, event_type, trace, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, log) DO NOTHING`,
  )
  const byId = db.query<EntryRow, [string, number]>(`SELECT ${ENTRY} FROM entries WHERE id = ? AND log = ?`)
  const firstOf = db.query<EntryRow, [number, number, number]>(
    `SELECT ${ENTRY} FROM entries WHERE log = ? AND is_kept = 1 AND seq >= ? AND rank = ? ORDER BY seq LIMIT 1`,
  )
  const settled = db.query<EntryRow, [number]>(
    `SELECT ${ENTRY} FROM entries INDEXED BY entries_settled
     WHERE log = ? AND is_kept = 1 AND is_acked = 1 AND rank < ${CRITICAL} ORDER BY seq LIMIT 1`,
  )
  const ended = db.query<EntryRow, [number, number]>(
    `SELECT ${ENTRY} FROM entries WHERE log = ?1 AND is_kept = 1 AND (ages_at < ?2 OR expires_at < ?2) LIMIT 1`,
  )
  const strip = db.query('UPDATE entries SET is_kept = 0, body = NULL, trace = NULL WHERE n = ?')
  const bury = db.query(
    'UPDATE entries SET is_kept = 0, body = NULL, trace = NULL, state = ?, at = ? WHERE n = ?',
  )
  const remove = db.query('DELETE FROM entries WHERE n = ?')
  let earliestTtl = Number.POSITIVE_INFINITY
  // SQLite would give a number again when the last entry has gone, and age would take it for one it has passed.
  let last = db.query<{ n: number | null }, []>('SELECT max(n) AS n FROM entries').get()?.n ?? 0

  const leave = (head: Head, entry: EntryRow, cause: Cause): void => {
    const isAcked = entry.is_acked === 1
    const isPending = limits.acknowledged && entry.state === SENT
    const isSettled = limits.acknowledged ? isAcked : entry.seq <= head.received
    // Overflow drops what nobody has; what was handed over stays that, unless an acknowledgement was waited for.
    const state = cause === 'overflow' ? 'dropped' : 'expired'
    const enters = state === 'expired' ? !isAcked : entry.state === 0 || isPending
    if (enters) bury.run(numberOf(state), turn.now, entry.n)
    else strip.run(entry.n)
    if (cause !== 'ttl') head.removedThrough = Math.max(head.removedThrough, entry.seq)
    heads.count(head, entry.rank, -1)
    turn.told.push(['left', head.owner, { state, unsettled: !isSettled, pending: isPending }])
  }

  /** The oldest retained one of a rank. */
  const oldest = (head: Head, rank: number): EntryRow | undefined => {
    if (head.counts[rank] === 0) return undefined
    const entry = firstOf.get(head.id, head.from[rank] ?? 0, rank)
    if (entry !== null) head.from[rank] = entry.seq
    return entry ?? undefined
  }

  /** What is settled, oldest first; then of the lowest priority the oldest. A Critical one never goes before a lower one. */
  const victimOf = (head: Head): EntryRow | undefined => {
    const all = LOWER.map(rank => oldest(head, rank)).filter(entry => entry !== undefined)
    const received = all.filter(({ seq }) => seq <= head.received).toSorted((a, b) => a.seq - b.seq)
    const first = limits.acknowledged ? settled.get(head.id) : received[0]
    return first ?? all[0] ?? oldest(head, CRITICAL)
  }

  const makeRoom = (head: Head): void => {
    for (let n = 0; head.total > limits.maxEntries && n < MAX_EVICTED; n++) {
      const over = turn.isClean ? null : ended.get(head.id, turn.now)
      const entry = over ?? victimOf(head)
      if (entry === undefined) return
      leave(head, entry, over === null ? 'overflow' : endOf(over))
    }
  }

  const add = (head: Head, draft: DraftRow): boolean => {
    const [, id, body, eventType, occurredAt, rank, expiresAt, trace] = draft
    const { changes } = insert.run(
      last + 1,
      head.id,
      head.seq + 1,
      id,
      rank,
      occurredAt,
      expiresAt ?? null,
      turn.now + limits.retentionMs,
      turn.now,
      storable(eventType),
      trace ?? null,
      storable(body),
    )
    if (changes === 0) return false
    last++
    earliestTtl = Math.min(earliestTtl, expiresAt ?? earliestTtl)
    heads.count(head, rank, 1)
    return true
  }

  const hasEnded = ({ ages_at, expires_at }: EntryRow): boolean =>
    turn.now > Math.min(ages_at, expires_at ?? ages_at)

  /** The retained one of that id; what is left of another is taken out of the way. */
  const known = (head: Head, id: string): EntryRow | undefined => {
    const entry = byId.get(id, head.id)
    if (entry === null) return undefined
    if (entry.is_kept === 1 && !hasEnded(entry)) return entry
    if (entry.is_kept === 1) leave(head, entry, endOf(entry))
    remove.run(entry.n)
    return undefined
  }

  const appendOne = (draft: DraftRow): AppendedRow => {
    const [owner, id, , , , , expiresAt = turn.now] = draft
    const head = heads.findOrMake(owner)
    // What expired on its way here only takes its seq.
    const isLate = turn.now > expiresAt
    if (isLate || !add(head, draft)) {
      const entry = known(head, id)
      if (entry !== undefined) return [head.epoch, entry.seq, true]
      if (!isLate) add(head, draft)
    }
    head.seq++
    head.appendedAt = turn.now
    heads.changed(head)
    makeRoom(head)
    return [head.epoch, head.seq, false]
  }

  return {
    append: drafts => drafts.map(appendOne),
    leave,
    hasEnded,
    takeEarliestTtl: () => {
      const taken = earliestTtl
      earliestTtl = Number.POSITIVE_INFINITY
      return taken
    },
  }
}
