import { PRIORITIES } from '../../protocol/values.ts'
import { RowList } from './row-list.ts'
import { ACKED, BY_TTL, ENDS_AT, PRIORITY, type Row, type Rows, SEQ } from './rows.ts'

/** Retained entries of one log, in each order in which they are looked up. Rare orders are built when needed. */
export class Entries {
  readonly bySeq: RowList
  readonly #rows: Rows
  // An append reads no older row: each is in a line of memory that no cache holds.
  /** Priority of the first entry. */
  #priority: number | undefined
  /** Whether the log has had entries of several priorities. */
  #isMixed = false
  /** No entry ends before this moment. */
  #endsFrom = Number.POSITIVE_INFINITY
  /** Entries of each priority. */
  #lanes: readonly RowList[] | undefined
  #byTtl: RowList | undefined
  /** Acknowledged entries. */
  #settled: RowList | undefined

  constructor(rows: Rows) {
    this.#rows = rows
    this.bySeq = new RowList(rows)
  }

  add(row: Row): void {
    this.#priority ??= this.#priorityOf(row)
    this.#isMixed ||= this.#priority !== this.#priorityOf(row)
    this.#endsFrom = Math.min(this.#endsFrom, this.#endOf(row))
    this.bySeq.push(row)
    this.#laneOf(row)?.push(row)
    if (!this.#rows.has(row, BY_TTL)) return
    this.#byTtl ??= new RowList(this.#rows, ENDS_AT)
    this.#byTtl.add(row)
  }

  remove(row: Row): void {
    this.bySeq.remove(row)
    this.#laneOf(row)?.remove(row)
    if (this.#rows.has(row, BY_TTL)) this.#byTtl?.remove(row)
    if (this.#rows.has(row, ACKED)) this.#settled?.remove(row)
  }

  /** Records that the entry was acknowledged, so that overflow evicts it first. */
  settle(row: Row): void {
    this.#settled ??= new RowList(this.#rows)
    this.#settled.add(row)
  }

  /** When the next entry ends. Among entries that end by age, the oldest ends first. */
  get endsAt(): number {
    return Math.min(this.#endOf(this.#byTtl?.first), this.#endOf(this.bySeq.first))
  }

  /** Returns an entry that has ended. */
  ended(now: number): Row | undefined {
    if (now <= this.#endsFrom) return undefined
    this.#endsFrom = this.endsAt
    const byTtl = this.#byTtl?.first
    if (now > this.#endOf(byTtl)) return byTtl
    const oldest = this.bySeq.first
    return now > this.#endOf(oldest) ? oldest : undefined
  }

  /** Chooses the entry to evict by the overflow rule (`StoreLimits.maxEntries`). Received means at or below `received`. */
  victim(received: number): Row | undefined {
    const settled = this.#settled?.first
    if (settled !== undefined) return settled
    const oldest = this.bySeq.first
    if (oldest === undefined || !this.#isMixed || this.#rows.double(oldest, SEQ) <= received) return oldest
    this.#lanes ??= this.#makeLanes()
    // A plain loop: a full log runs this at each append.
    for (const lane of this.#lanes) if (lane.first !== undefined) return lane.first
    return undefined
  }

  #priorityOf(row: Row): number {
    return this.#rows.byte(row, PRIORITY)
  }

  #endOf(row: Row | undefined): number {
    return row === undefined ? Number.POSITIVE_INFINITY : this.#rows.double(row, ENDS_AT)
  }

  #laneOf(row: Row): RowList | undefined {
    return this.#lanes?.[this.#priorityOf(row)]
  }

  #makeLanes(): readonly RowList[] {
    const lanes = PRIORITIES.map(() => new RowList(this.#rows))
    this.bySeq.visitAfter(0, row => {
      lanes[this.#priorityOf(row)]?.push(row)
      return true
    })
    return lanes
  }
}
