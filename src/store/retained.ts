import { Deque } from '../lib/deque.ts'
import { PRIORITIES, type Priority } from '../notification/notification.ts'
import type { Topic } from '../notification/topic.ts'
import type { Draft, State } from './store.ts'

interface Ends {
  /** When the entry was appended, on the wall clock. */
  readonly at: number
  /** On the steady clock, as the next; infinite without a ttl. */
  readonly ttlEndsAt: number
  readonly ageEndsAt: number
}

/** One entry of a log, and what has become of it. A class, since there are millions of them. */
export class Kept {
  readonly owner: Topic
  readonly id: string
  readonly seq: number
  readonly priority: Priority
  readonly eventType: string
  readonly occurredAt: number
  readonly trace: string | undefined
  /** By its own ttl, on the wall clock; infinite without one. */
  readonly expiresAt: number
  /** Delivered while now <= endsAt, by ttl or by age, on the steady clock. */
  readonly endsAt: number
  /** An entry that would reach its ttl and its age in the same moment ends by its ttl. */
  readonly endsByTtl: boolean
  /** Undefined once the entry has left: what lingers of it is a tombstone without text. */
  body: string | undefined
  state: State = 'queued'
  /** Since when it is in this state, on the wall clock. */
  at: number
  attempts = 0
  redelivered = 0
  /** When it was first handed over, on the steady clock. */
  firstAt = 0
  /** Acknowledged, in time or late. */
  isAcked = false

  /** `shared` holds texts that many entries have in common. */
  constructor(
    { id, priority, occurredAt, expiresAt = Number.POSITIVE_INFINITY, body, trace }: Draft,
    shared: Pick<Kept, 'owner' | 'eventType'>,
    seq: number,
    { at, ttlEndsAt, ageEndsAt }: Ends,
  ) {
    this.owner = shared.owner
    this.id = id
    this.seq = seq
    this.priority = priority
    this.eventType = shared.eventType
    this.occurredAt = occurredAt
    this.trace = trace
    this.expiresAt = expiresAt
    this.endsAt = Math.min(ttlEndsAt, ageEndsAt)
    this.endsByTtl = ttlEndsAt === this.endsAt
    this.at = at
    this.body = body
  }

  /** Its state is not final: neither acknowledged nor expired nor dropped. */
  get isOpen(): boolean {
    return this.state === 'queued' || this.state === 'sent' || this.state === 'received'
  }

  /** Handed over, and its acknowledgement is still due where acknowledgement is on. */
  get isPending(): boolean {
    return this.attempts > 0 && this.isOpen
  }
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
    this.visitAfter(value, () => {
      count++
      return true
    })
    return count
  }

  /** Without tombstones, as long as `see` says true. No generator: a replay reads millions. */
  visitAfter(value: number, see: (entry: Kept) => boolean): void {
    for (let index = this.#indexAfter(value); index < this.#entries.length; index++) {
      const entry = this.#entries.at(index)
      if (entry?.body !== undefined && !see(entry)) return
    }
  }

  find(value: number): Kept | undefined {
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

/** What a log retains, in every order it is looked for. */
export class Retained {
  readonly byId = new Map<string, Kept>()
  readonly bySeq = new Sorted('seq')
  readonly #lanes: Partial<Record<Priority, Sorted>> = {}
  #byTtl: Sorted | undefined
  /** Acknowledged entries. */
  #settled: Sorted | undefined

  add(entry: Kept): void {
    this.byId.set(entry.id, entry)
    this.bySeq.add(entry)
    this.#lanes[entry.priority] ??= new Sorted('seq')
    this.#lanes[entry.priority]?.add(entry)
    if (!entry.endsByTtl) return
    this.#byTtl ??= new Sorted('endsAt')
    this.#byTtl.add(entry)
  }

  remove(entry: Kept): void {
    entry.body = undefined
    this.byId.delete(entry.id)
    this.bySeq.bury()
    this.#lanes[entry.priority]?.bury()
    if (entry.endsByTtl) this.#byTtl?.bury()
    if (entry.isAcked) this.#settled?.bury()
  }

  /** The entry has been acknowledged: overflow evicts it first. */
  settle(entry: Kept): void {
    this.#settled ??= new Sorted('seq')
    this.#settled.add(entry)
  }

  /** Of the entries that end by age the oldest ends first. */
  ended(now: number): Kept | undefined {
    const byTtl = this.#byTtl?.first
    if (byTtl !== undefined && now > byTtl.endsAt) return byTtl
    const oldest = this.bySeq.first
    return oldest !== undefined && now > oldest.endsAt ? oldest : undefined
  }

  /**
   * The entry that overflow evicts: the oldest settled one (acknowledged, or at or below `received`) whatever its
   * priority; else of the lowest priority the oldest.
   */
  victim(received: number): Kept | undefined {
    const settled = this.#settled?.first
    if (settled !== undefined) return settled
    const oldest = this.bySeq.first
    if (oldest !== undefined && oldest.seq <= received) return oldest
    // No find(): a full log asks at every append.
    for (const priority of PRIORITIES) {
      const first = this.#lanes[priority]?.first
      if (first !== undefined) return first
    }
    return undefined
  }
}
