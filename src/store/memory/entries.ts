import { Deque } from '../../lib/collections/deque.ts'
import { PRIORITIES, type Priority } from '../../protocol/values.ts'
import type { LogEntry } from './entry.ts'

/** Entries sorted by a number. A removed entry stays as a tombstone until tombstones are the majority. */
class SortedEntries {
  readonly #key: 'seq' | 'endsAt'
  readonly #entries = new Deque<LogEntry>()
  #tombstones = 0

  constructor(key: 'seq' | 'endsAt') {
    this.#key = key
  }

  /** The first entry; never a tombstone. */
  get first(): LogEntry | undefined {
    return this.#entries.at(0)
  }

  add(entry: LogEntry): void {
    const last = this.#entries.at(this.#entries.length - 1)
    const isLast = last === undefined || last[this.#key] <= entry[this.#key]
    this.#entries.insert(isLast ? this.#entries.length : this.#indexAfter(entry[this.#key]), entry)
  }

  /** Counts an entry that has lost its body as a tombstone. */
  bury(): void {
    this.#tombstones++
    for (; this.#tombstones > 0 && this.first?.body === undefined; this.#tombstones--) this.#entries.shift()
    if (this.#tombstones * 2 <= this.#entries.length) return
    this.#entries.retain(({ body }) => body !== undefined)
    this.#tombstones = 0
  }

  countAfter(value: number): number {
    if (this.#tombstones === 0) return this.#entries.length - this.#indexAfter(value)
    let count = 0
    this.visitAfter(value, () => {
      count++
      return true
    })
    return count
  }

  /** Visits live entries in order while `see` returns true. Not a generator: a replay reads millions of entries. */
  visitAfter(value: number, see: (entry: LogEntry) => boolean): void {
    for (let index = this.#indexAfter(value); index < this.#entries.length; index++) {
      const entry = this.#entries.at(index)
      if (entry?.body !== undefined && !see(entry)) return
    }
  }

  find(value: number): LogEntry | undefined {
    const last = this.#entries.at(this.#entries.length - 1)
    const found = last?.[this.#key] === value ? last : this.#entries.at(this.#indexAfter(value) - 1)
    return found?.body !== undefined && found[this.#key] === value ? found : undefined
  }

  #indexAfter(value: number): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = this.#entries.at(middle)
      if (entry !== undefined && entry[this.#key] <= value) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Number of entries from which an index by id is worth its memory. */
const INDEXED_FROM = 9

/**
 * Retained entries of one log, in each order in which they are looked up. Most logs are small: an index is built when
 * needed.
 */
export class Entries {
  readonly bySeq = new SortedEntries('seq')
  #size = 0
  /** Removed entries stay until they are the majority: single deletions would cost more than the append. */
  #byId: Map<string, LogEntry> | undefined
  #lanes: Partial<Record<Priority, SortedEntries>> | undefined
  #byTtl: SortedEntries | undefined
  /** Acknowledged entries. */
  #settled: SortedEntries | undefined

  get size(): number {
    return this.#size
  }

  find(id: string): LogEntry | undefined {
    if (this.#byId !== undefined) {
      const known = this.#byId.get(id)
      return known?.body === undefined ? undefined : known
    }
    let found: LogEntry | undefined
    this.bySeq.visitAfter(0, entry => {
      if (entry.id === id) found = entry
      return found === undefined
    })
    return found
  }

  add(entry: LogEntry): void {
    this.#size++
    this.bySeq.add(entry)
    if (this.#byId !== undefined) this.#byId.set(entry.id, entry)
    else if (this.#size === INDEXED_FROM) this.#byId = this.#indexById()
    if (this.#lanes !== undefined) addTo(this.#lanes, entry)
    if (!entry.endsByTtl) return
    this.#byTtl ??= new SortedEntries('endsAt')
    this.#byTtl.add(entry)
  }

  remove(entry: LogEntry): void {
    this.#size--
    entry.body = undefined
    this.bySeq.bury()
    if (this.#byId !== undefined && this.#byId.size > 2 * this.#size + INDEXED_FROM)
      this.#byId = this.#indexById()
    this.#lanes?.[entry.priority]?.bury()
    if (entry.endsByTtl) this.#byTtl?.bury()
    if (entry.isAcked) this.#settled?.bury()
  }

  /** Records that the entry was acknowledged, so that overflow evicts it first. */
  settle(entry: LogEntry): void {
    this.#settled ??= new SortedEntries('seq')
    this.#settled.add(entry)
  }

  /** When the next entry ends. Among entries that end by age, the oldest ends first. */
  get endsAt(): number {
    const { first } = this.bySeq
    return Math.min(
      this.#byTtl?.first?.endsAt ?? Number.POSITIVE_INFINITY,
      first?.endsAt ?? Number.POSITIVE_INFINITY,
    )
  }

  /** Returns an entry that has ended. */
  ended(now: number): LogEntry | undefined {
    const byTtl = this.#byTtl?.first
    if (byTtl !== undefined && now > byTtl.endsAt) return byTtl
    const oldest = this.bySeq.first
    return oldest !== undefined && now > oldest.endsAt ? oldest : undefined
  }

  /** Chooses the entry to evict by the overflow rule (`StoreLimits.maxEntries`). Received means at or below `received`. */
  victim(received: number): LogEntry | undefined {
    const settled = this.#settled?.first
    if (settled !== undefined) return settled
    const oldest = this.bySeq.first
    if (oldest !== undefined && oldest.seq <= received) return oldest
    this.#lanes ??= this.#makeLanes()
    // A plain loop: a full log runs this at each append.
    for (const priority of PRIORITIES) {
      const first = this.#lanes[priority]?.first
      if (first !== undefined) return first
    }
    return undefined
  }

  #indexById(): Map<string, LogEntry> {
    const byId = new Map<string, LogEntry>()
    this.bySeq.visitAfter(0, entry => byId.set(entry.id, entry) !== undefined)
    return byId
  }

  #makeLanes(): Partial<Record<Priority, SortedEntries>> {
    const lanes: Partial<Record<Priority, SortedEntries>> = {}
    this.bySeq.visitAfter(0, entry => addTo(lanes, entry))
    return lanes
  }
}

function addTo(lanes: Partial<Record<Priority, SortedEntries>>, entry: LogEntry): true {
  lanes[entry.priority] ??= new SortedEntries('seq')
  lanes[entry.priority]?.add(entry)
  return true
}
