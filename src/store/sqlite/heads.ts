import type { Database } from 'bun:sqlite'
import { createLRU } from 'lru.min'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import { type Lives, present, textOf } from './life.ts'

interface LogRow {
  readonly id: number
  readonly owner: Topic
  readonly life: number
  readonly epoch: Epoch
  readonly bases: string
  readonly seq: number
  readonly received: number
  readonly removed_through: number
  readonly appended_at: number
  readonly low: number
  readonly normal: number
  readonly high: number
  readonly critical: number
}

/** What is known of one log besides its entries. A class, since there are tens of thousands of them. */
export class Head {
  readonly id: number
  readonly owner: Topic
  readonly epoch: Epoch
  /** As the file keeps them. */
  readonly bases: string
  seq: number
  received: number
  removedThrough: number
  appendedAt: number
  /** Retained entries by rank. */
  readonly counts: [number, number, number, number]
  /** No retained entry of the rank has a smaller seq; spares looking from the beginning each time. */
  readonly from: [number, number, number, number] = [0, 0, 0, 0]

  constructor(row: LogRow, lives: Lives) {
    const { head, bases } = present(row, lives)
    this.id = row.id
    this.owner = row.owner
    this.epoch = head.epoch
    this.bases = textOf(bases)
    this.seq = row.seq
    this.received = row.received
    this.removedThrough = row.removed_through
    this.appendedAt = row.appended_at
    this.counts = [row.low, row.normal, row.high, row.critical]
  }

  get total(): number {
    const [low, normal, high, critical] = this.counts
    return low + normal + high + critical
  }

  at(seq: number): Cursor {
    return { epoch: this.epoch, seq }
  }
}

/** The heads of logs, most of them at hand; what changed is written at the end of each batch, however often it did. */
export interface Heads {
  find(owner: Topic): Head | undefined
  findOrMake(owner: Topic): Head
  changed(head: Head): void
  /** One entry more or less. */
  count(head: Head, rank: number, by: 1 | -1): void
  totals(): { readonly messages: number; readonly users: number }
  begin(): void
  write(): void
  /** What was changed since the beginning is not true any more. */
  rollBack(): void
  /** A log is not known any longer; the next one of its owner has another epoch. */
  forget(head: Head, next: Epoch): void
}

/** About 500 bytes each. */
const MAX_AT_HAND = 50_000

export function createHeads(db: Database, lives: Lives): Heads {
  const select = db.query<LogRow, [Topic]>('SELECT * FROM logs WHERE owner = ?')
  const insert = db.query<LogRow, [Topic, number]>(
    `INSERT INTO logs (owner, life, epoch, bases, seq, received, removed_through, appended_at, low, normal, high, critical)
     VALUES (?, ?, (SELECT epoch FROM service), '', 0, 0, 0, 0, 0, 0, 0, 0) RETURNING *`,
  )
  const update = db.query(
    `UPDATE logs SET life = ?, epoch = ?, bases = ?, seq = ?, received = ?, removed_through = ?, appended_at = ?,
     low = ?, normal = ?, high = ?, critical = ? WHERE id = ?`,
  )
  const remove = db.query('DELETE FROM logs WHERE id = ?')
  const rename = db.query('UPDATE service SET epoch = ?')

  const dirty = new Set<Head>()
  const writeOne = (head: Head): void => {
    const { epoch, bases, seq, received, removedThrough, appendedAt, counts, id } = head
    update.run(lives.number, epoch, bases, seq, received, removedThrough, appendedAt, ...counts, id)
  }
  const atHand = createLRU<Topic, Head>({
    max: MAX_AT_HAND,
    // Read again in the same batch it would be as it was before.
    onEviction: (_, head) => {
      if (dirty.delete(head)) writeOne(head)
    },
  })

  const countAll = () =>
    db
      .query<{ messages: number; users: number }, []>(
        `SELECT coalesce(sum(low + normal + high + critical), 0) AS messages,
         coalesce(sum(low + normal + high + critical > 0), 0) AS users FROM logs`,
      )
      .get() ?? { messages: 0, users: 0 }
  let totals = countAll()
  let before = totals

  const keep = (row: LogRow | null): Head | undefined => {
    if (row === null) return undefined
    const head = new Head(row, lives)
    atHand.set(row.owner, head)
    return head
  }
  const find = (owner: Topic): Head | undefined => atHand.get(owner) ?? keep(select.get(owner))

  return {
    find,
    findOrMake: owner => {
      const head = find(owner) ?? keep(insert.get(owner, lives.number))
      if (head === undefined) throw new Error('the insert of a log returned nothing')
      return head
    },
    changed: head => void dirty.add(head),
    count: (head, rank, by) => {
      const was = head.total
      head.counts[rank] = (head.counts[rank] ?? 0) + by
      totals = {
        messages: totals.messages + by,
        users: totals.users + Number(was + by > 0) - Number(was > 0),
      }
      dirty.add(head)
    },
    totals: () => totals,
    begin: () => {
      before = totals
    },
    write: () => {
      for (const head of dirty) writeOne(head)
      dirty.clear()
    },
    rollBack: () => {
      dirty.clear()
      atHand.clear()
      totals = before
    },
    forget: (head, next) => {
      remove.run(head.id)
      rename.run(next)
      dirty.delete(head)
      atHand.delete(head.owner)
    },
  }
}
