import type { Database } from 'bun:sqlite'
import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { PageLimit } from '../page-limit.ts'
import type { DeliveryReport, Entry, ListedEntry, LogStart, Page, Recipient, UserLog } from '../store.ts'
import { BODY, isOpen, stateOf } from './entry.ts'
import { runRead } from './faults.ts'
import { inCurrentLife, type Lives } from './life.ts'
import { decodeText } from './text.ts'

interface SnapshotRow {
  /** Epoch of logs that do not exist yet. */
  readonly next_epoch: Epoch
  readonly id: number | null
  readonly life: number
  readonly epoch: Epoch
  readonly bases: string
  readonly seq: number
  readonly received: number
  readonly removed_through: number
  readonly lost_through: number
}

interface PageRow {
  readonly seq: number
  readonly state: number
  readonly trace: string | null
  readonly body: string
}

interface RecipientRow {
  readonly owner: Topic
  readonly event_type: string
  readonly occurred_at: number
  readonly expires_at: number | null
  readonly state: number
  readonly attempts: number
  readonly at: number
  readonly is_acked: number
  readonly ages_at: number
  readonly is_kept: number
  readonly jumped: number
}

/** A log as seen in one snapshot. */
interface LogSnapshot extends Required<LogStart> {
  /** 0 for a log that does not exist. */
  readonly id: number
  /** Entries before this seq have ended by age. */
  readonly from: number
}

const entryOf = ({ seq, trace, body }: PageRow): Entry => ({
  seq,
  body: decodeText(body),
  ...(trace !== null && { traceparent: trace }),
})

/** Reports an ended entry as expired before a purge takes it out of its log. */
function recipientOf(row: RecipientRow, now: number, jumped: number): Recipient {
  const { owner, attempts, at, ages_at, expires_at } = row
  const endsAt = Math.min(ages_at, expires_at ?? ages_at)
  const isOver = row.is_kept === 1 && now > endsAt && isOpen(row)
  return { owner, attempts, state: isOver ? 'expired' : stateOf(row), at: (isOver ? endsAt : at) + jumped }
}

const NEVER_SEEN = { bases: [], received: 0, removedThrough: 0, lostThrough: 0, id: 0, from: 0 }

/** Reads the file in the caller's turn. Each read is short, one page, and waits for no writer. */
export interface Reader extends Pick<UserLog, 'open' | 'heads' | 'count' | 'read' | 'list' | 'report'> {}

/** Heads read in one turn of the event loop. */
const TURN = 500

export function createReader({
  db,
  lives,
  clock,
}: {
  readonly db: Database
  readonly lives: Lives
  readonly clock: SteadyClock
}): Reader {
  const select = db.query<SnapshotRow, [Topic]>(
    'SELECT service.epoch AS next_epoch, logs.* FROM service LEFT JOIN logs ON owner = ?',
  )
  // Entries age in the order of the log: the first one with time left ends the search.
  const firstInAge = db.query<{ seq: number }, [number, number]>(
    'SELECT seq FROM entries WHERE log = ? AND is_kept = 1 AND ages_at >= ? ORDER BY seq LIMIT 1',
  )
  const lastAged = db.query<{ seq: number | null }, [number, number]>(
    `SELECT max(seq) AS seq FROM entries INDEXED BY entries_of_log
     WHERE log = ? AND is_kept = 1 AND seq < ? AND (expires_at IS NULL OR expires_at > ages_at)`,
  )
  const lastLost = db.query<{ seq: number | null }, [number, number, number]>(
    `SELECT max(seq) AS seq FROM entries WHERE log = ? AND is_kept = 1 AND seq > ? AND seq < ?
     AND (expires_at IS NULL OR expires_at > ages_at) AND is_acked = 0`,
  )
  const alive = 'log = ? AND is_kept = 1 AND seq > ? AND (expires_at IS NULL OR expires_at >= ?)'
  const counted = db.query<{ count: number }, [number, number, number]>(
    `SELECT count(*) AS count FROM entries INDEXED BY entries_of_log WHERE ${alive}`,
  )
  const page = db.query<PageRow, [number, number, number]>(
    `SELECT seq, state, trace, ${BODY} FROM entries WHERE ${alive} ORDER BY seq`,
  )
  const unsettled = db.query<PageRow, [number, number, number]>(
    `SELECT seq, state, trace, ${BODY} FROM entries WHERE ${alive} AND is_acked = 0 ORDER BY seq`,
  )
  const columns = `owner, event_type, occurred_at, expires_at, state, attempts, at, is_acked, ages_at,
     is_kept, jumped`
  const firstOf = db.query<RecipientRow, [string]>(
    `SELECT ${columns} FROM entries JOIN logs ON logs.id = log WHERE n = (SELECT min(n) FROM entries WHERE id = ?)`,
  )
  const placeOf = db.query<{ n: number }, [string, Topic]>(
    'SELECT n FROM entries WHERE id = ? AND log = (SELECT id FROM logs WHERE owner = ?)',
  )
  const recipients = db.query<RecipientRow, [string, number, number]>(
    `SELECT ${columns} FROM entries JOIN logs ON logs.id = log
     WHERE n IN (SELECT n FROM entries WHERE id = ? AND n > ? ORDER BY n LIMIT ?) ORDER BY n`,
  )

  const begin = db.query('BEGIN')
  const end = db.query('COMMIT')

  const rowOf = (owner: Topic): SnapshotRow => {
    const row = select.get(owner)
    if (row === null) throw new Error('the table `service` of the store file is empty')
    return row
  }

  const headOf = (row: SnapshotRow): Cursor =>
    row.id === null ? { epoch: row.next_epoch, seq: 0 } : inCurrentLife(row, lives).head

  const find = (owner: Topic, moment: number): LogSnapshot => {
    const row = rowOf(owner)
    if (row.id === null) return { ...NEVER_SEEN, head: headOf(row) }
    const from = firstInAge.get(row.id, moment)?.seq ?? row.seq + 1
    const aged = lastAged.get(row.id, from)?.seq ?? 0
    const lost = lastLost.get(row.id, row.received, from)?.seq ?? 0
    return {
      ...inCurrentLife(row, lives),
      received: row.received,
      removedThrough: Math.max(row.removed_through, aged),
      lostThrough: Math.max(row.lost_through, lost),
      id: row.id,
      from,
    }
  }

  /** Reads entries up to the limit of a page and touches no further row. */
  const take = <E extends Entry>(
    rows: Iterable<PageRow>,
    limit: PageLimit,
    of: (row: PageRow) => E,
  ): { readonly entries: readonly E[]; readonly isCut: boolean } => {
    const entries: E[] = []
    let bytes = 0
    for (const row of rows) {
      const entry = of(row)
      bytes += entry.body.length
      if (entries.length > 0 && (entries.length >= limit.entries || bytes > limit.bytes))
        return { entries, isCut: true }
      entries.push(entry)
    }
    return { entries, isCut: false }
  }

  const readPage = <E extends Entry>(
    owner: Topic,
    after: number,
    limit: PageLimit,
    { of, statement = page }: { readonly of: (row: PageRow) => E; readonly statement?: typeof page },
  ): Page<E> => {
    const moment = clock.now()
    const { id, from, head, removedThrough } = find(owner, moment)
    const rows = statement.iterate(id, Math.max(after, from - 1), moment)
    const { entries, isCut } = take(rows, limit, of)
    const through = isCut ? (entries.at(-1)?.seq ?? head.seq) : head.seq
    return { epoch: head.epoch, entries, through, removedThrough }
  }

  const count = (owner: Topic, after: number): number => {
    const moment = clock.now()
    const { id, from } = find(owner, moment)
    return counted.get(id, Math.max(after, from - 1), moment)?.count ?? 0
  }

  const open = (owner: Topic): LogStart => {
    const { head, received, removedThrough, lostThrough, bases } = find(owner, clock.now())
    return { head, received, removedThrough, lostThrough, bases }
  }

  const report = (
    tenant: string,
    id: string,
    { after, limit }: { readonly after?: Topic; readonly limit: number },
  ): DeliveryReport | undefined => {
    const first = firstOf.get(id)
    if (first === null || tenantOf(first.owner) !== tenant) return undefined
    const place = after === undefined ? 0 : placeOf.get(id, after)?.n
    const rows = place === undefined ? [] : recipients.all(id, place, limit)
    const { event_type, occurred_at, expires_at } = first
    const moment = clock.now()
    return {
      id,
      eventType: decodeText(event_type),
      occurredAt: occurred_at,
      ...(expires_at !== null && { expiresAt: expires_at + first.jumped }),
      recipients: rows.map(row => recipientOf(row, moment, clock.jumped)),
    }
  }

  /** Runs all reads of `look` in one snapshot. */
  const atOnce = <T>(look: () => T): T =>
    runRead(() => {
      begin.run()
      try {
        return look()
      } finally {
        end.run()
      }
    })

  return {
    open: async owner => atOnce(() => open(owner)),
    heads: async owners => {
      const heads: Cursor[] = []
      for (const owner of owners) {
        heads.push(runRead(() => headOf(rowOf(owner))))
        if (heads.length % TURN === 0) await new Promise(setImmediate)
      }
      return heads
    },
    count: async (owner, after) => atOnce(() => count(owner, after)),
    read: async (owner, after, limit, unsettledOnly = false) =>
      atOnce(() =>
        readPage(owner, after, limit, { of: entryOf, statement: unsettledOnly ? unsettled : page }),
      ),
    list: async (owner, after, limit) =>
      atOnce(() =>
        readPage(owner, after, limit, {
          of: (row): ListedEntry => ({ ...entryOf(row), state: stateOf(row) }),
        }),
      ),
    report: async (tenant, id, recipients) => atOnce(() => report(tenant, id, recipients)),
  }
}
