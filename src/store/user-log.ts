import { Deque } from '../lib/deque.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import { PRIORITIES, type Priority } from '../notification/notification.ts'
import type { Appended, Draft, Entry, Opened, Page, PageLimit, StoreLimits } from './store.ts'

interface Kept {
  readonly seq: number
  readonly id: string
  readonly priority: Priority
  /** Undefined once the entry has left: what lingers of it is a tombstone without text. */
  body: string | undefined
  /** Delivered while now <= endsAt. */
  readonly endsAt: number
  readonly endsBy: 'ttl' | 'age'
}

/** Entries by a number of theirs. One that leaves from the middle is a tombstone until more than half of all are. */
class Sorted {
  readonly #key: 'seq' | 'endsAt'
  readonly #entries = new Deque<Kept>()
  #tombstones = 0

  constructor(key: 'seq' | 'endsAt') {
    this.#key = key
  }

  /** Never a tombstone. */
  get first(): Kept | undefined {
    return this.#entries.at(0)
  }

  add(entry: Kept): void {
    const last = this.#entries.at(this.#entries.length - 1)
    const isLast = last === undefined || last[this.#key] <= entry[this.#key]
    this.#entries.insert(isLast ? this.#entries.length : this.#indexAfter(entry[this.#key]), entry)
  }

  /** One of the entries has lost its body. */
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
    for (const _ of this.after(value)) count++
    return count
  }

  *after(value: number): Generator<Entry> {
    for (let index = this.#indexAfter(value); index < this.#entries.length; index++) {
      const entry = this.#entries.at(index)
      if (entry?.body !== undefined) yield { seq: entry.seq, body: entry.body }
    }
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

/** What a log retains, in every order it is looked for. */
class Retained {
  readonly byId = new Map<string, Kept>()
  readonly bySeq = new Sorted('seq')
  readonly #lanes: Partial<Record<Priority, Sorted>> = {}
  readonly #byTtl = new Sorted('endsAt')

  add(entry: Kept): void {
    this.byId.set(entry.id, entry)
    this.bySeq.add(entry)
    this.#lanes[entry.priority] ??= new Sorted('seq')
    this.#lanes[entry.priority]?.add(entry)
    if (entry.endsBy === 'ttl') this.#byTtl.add(entry)
  }

  remove(entry: Kept): void {
    entry.body = undefined
    this.byId.delete(entry.id)
    this.bySeq.bury()
    this.#lanes[entry.priority]?.bury()
    if (entry.endsBy === 'ttl') this.#byTtl.bury()
  }

  /** Of those that end by age the oldest comes first; after a clock was set back the next one ends late, never early. */
  ended(now: number): Kept | undefined {
    return [this.#byTtl.first, this.bySeq.first].find(entry => entry !== undefined && now > entry.endsAt)
  }

  /**
   * Whom overflow takes: what is settled, oldest first; then the lowest priority, of that the oldest. A Critical entry
   * never goes while a lower one is there, settled or not.
   */
  victim(received: number): Kept | undefined {
    const oldest = PRIORITIES.flatMap(priority => this.#lanes[priority]?.first ?? [])
    const settled = oldest.filter(({ priority, seq }) => priority !== 'Critical' && seq <= received)
    return settled.sort((a, b) => a.seq - b.seq)[0] ?? oldest[0]
  }
}

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000

/** One user's log: what is retained, and what stays known of what was. The caller tells the time. */
export class UserLog {
  readonly #epoch: Epoch
  readonly #limits: StoreLimits
  #seq = 0
  #received = 0
  #removedThrough = 0
  /** When the last append was, milliseconds since 1970. */
  #appendedAt = 0
  /** Absent when nothing is: for 30 days there are many heads without entries. */
  #retained: Retained | undefined

  constructor(epoch: Epoch, limits: StoreLimits) {
    this.#epoch = epoch
    this.#limits = limits
  }

  append(draft: Draft, now: number): Appended {
    this.#purge(now)
    const known = this.#retained?.byId.get(draft.id)
    if (known !== undefined) return { cursor: this.#at(known.seq), repeated: true }
    this.#seq++
    this.#appendedAt = now
    // What expired on its way here only takes its seq.
    if (draft.expiresAt === undefined || now <= draft.expiresAt) this.#keep(draft)
    return { cursor: this.#at(this.#seq), repeated: false }
  }

  open(now: number): Opened {
    this.#purge(now)
    const head = this.#at(this.#seq)
    return { head, received: this.#received, removedThrough: this.#removedThrough, bases: [] }
  }

  read(after: number, limit: PageLimit, now: number): Page {
    this.#purge(now)
    const entries: Entry[] = []
    let through = this.#seq
    let bytes = 0
    for (const entry of this.#retained?.bySeq.after(after) ?? []) {
      const last = entries.at(-1)
      bytes += entry.body.length
      if (last !== undefined && (entries.length >= limit.entries || bytes > limit.bytes)) {
        through = last.seq
        break
      }
      entries.push(entry)
    }
    return { epoch: this.#epoch, entries, through, removedThrough: this.#removedThrough }
  }

  count(after: number, now: number): number {
    this.#purge(now)
    return this.#retained?.bySeq.countAfter(after) ?? 0
  }

  size(now: number): number {
    this.#purge(now)
    return this.#retained?.byId.size ?? 0
  }

  /** A place beyond the head is no proof of having read anything. */
  received({ epoch, seq }: Cursor): void {
    if (epoch === this.#epoch && seq <= this.#seq) this.#received = Math.max(this.#received, seq)
  }

  /** Nothing is left of it, and its head need not stay known any longer. */
  isOver(now: number): boolean {
    return this.size(now) === 0 && now > this.#appendedAt + HEAD_KEPT_MS
  }

  #at(seq: number): Cursor {
    return { epoch: this.#epoch, seq }
  }

  /** What would reach its ttl and its age in the same moment ends by its ttl. */
  #keep({ id, priority, body, expiresAt = Number.POSITIVE_INFINITY }: Draft): void {
    const agesAt = this.#appendedAt + this.#limits.retentionMs
    const endsBy = expiresAt <= agesAt ? 'ttl' : 'age'
    this.#retained ??= new Retained()
    this.#retained.add({ seq: this.#seq, id, priority, body, endsAt: Math.min(expiresAt, agesAt), endsBy })
    if (this.#retained.byId.size <= this.#limits.maxEntries) return
    const victim = this.#retained.victim(this.#received)
    if (victim !== undefined) this.#remove(victim, 'overflow')
  }

  #purge(now: number): void {
    for (let entry = this.#retained?.ended(now); entry !== undefined; entry = this.#retained?.ended(now))
      this.#remove(entry, entry.endsBy)
  }

  #remove(entry: Kept, cause: 'ttl' | 'age' | 'overflow'): void {
    if (cause !== 'ttl') this.#removedThrough = Math.max(this.#removedThrough, entry.seq)
    this.#retained?.remove(entry)
    if (this.#retained?.byId.size === 0) this.#retained = undefined
  }
}
