import { type Cursor, formatCursor } from '../../src/notification/cursor.ts'
import type { Base } from '../../src/store/store.ts'
import { type Item, World } from '../unit/schedule.ts'

/** A copy of the log, from which the store may return. */
interface Copy {
  readonly epoch: string
  readonly seq: number
  readonly entries: readonly Item[]
  readonly received: number
  readonly removedThrough: number
  readonly bases: readonly Base[]
}

interface Receipt {
  readonly cursor: Cursor
  /** The node that sent it. */
  readonly node: object
  readonly at: number
}

const MAX_BASES = 8

/** One log in one store that all nodes share. It may return as an older copy. */
export class SharedWorld extends World {
  readonly receipts: Receipt[] = []
  readonly copies: Copy[] = []
  /** By body: an entry that has left stays away, whatever copy returns. */
  readonly gone = new Map<string, Pick<Item, 'gone' | 'goneAt'>>()

  copy(): void {
    const { epoch, seq, receivedThrough, removedThrough, bases } = this
    const entries = this.entries.map(entry => ({ ...entry }))
    this.copies.push({ epoch, seq, entries, received: receivedThrough, removedThrough, bases })
  }

  /** Returns from a copy, sometimes the present one, or empty. The log gets a new epoch. */
  return(): void {
    if (this.pick(3) === 0) this.copy()
    const from = this.pick(5) === 0 ? undefined : this.copies[this.pick(Math.max(1, this.copies.length))]
    for (const entry of this.entries) if (entry.gone !== undefined) this.gone.set(entry.body, entry)
    this.isUnheard = true
    this.epoch = `e${this.lives++}`
    this.seq = from?.seq ?? 0
    this.bases =
      from === undefined ? [] : [...from.bases, { epoch: from.epoch, seq: from.seq }].slice(-MAX_BASES)
    this.entries = (from?.entries ?? []).map(entry => ({
      ...entry,
      ...this.gone.get(entry.body),
      cursor: { epoch: this.epoch, seq: entry.cursor.seq },
    }))
    for (const item of this.entries) this.history.set(formatCursor(item.cursor), item)
    const removed = this.entries.flatMap(({ gone, cursor }) => (gone === 'removed' ? [cursor.seq] : []))
    this.removedThrough = Math.max(from?.removedThrough ?? 0, ...removed)
    this.receivedThrough = from?.received ?? 0
    for (const { epoch, seq } of this.bases)
      this.prove({
        epoch: this.epoch,
        seq: Math.min(seq, this.shared({ epoch, seq: this.proven.get(epoch) ?? 0 })),
      })
  }

  knows(epoch: string): boolean {
    return epoch === this.epoch || this.bases.some(base => base.epoch === epoch)
  }
}
