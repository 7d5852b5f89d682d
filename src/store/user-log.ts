import type { SteadyClock } from '../lib/steady-clock.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { PageLimit } from './page-limit.ts'
import { Kept, Retained } from './retained.ts'
import type {
  Acked,
  Appended,
  Draft,
  Entry,
  Opened,
  Page,
  Redelivery,
  State,
  StoreLimits,
  StoreObserver,
} from './store.ts'

/** How long a head stays known after the last append, milliseconds. */
const HEAD_KEPT_MS = 30 * 86_400_000

/** What a log tells those around it. */
export interface Surroundings {
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  readonly steady: Pick<SteadyClock, 'jumped'>
  /** One text for all that are equal. */
  sharedName(eventType: string): string
  kept(entry: Kept, now: number): void
  left(): void
}

/** One user's log: what is retained, and what stays known of what was. The caller tells the time of a steady clock. */
export class UserLog {
  readonly #owner: Topic
  readonly #epoch: Epoch
  readonly #around: Surroundings
  #seq = 0
  #received = 0
  #removedThrough = 0
  #lostThrough = 0
  /** When the last append was. */
  #appendedAt = 0
  /** Absent when nothing is: for 30 days there are many heads without entries. */
  #retained: Retained | undefined

  constructor(owner: Topic, epoch: Epoch, around: Surroundings) {
    this.#owner = owner
    this.#epoch = epoch
    this.#around = around
  }

  append(draft: Draft, now: number): Appended {
    this.#purge(now)
    const known = this.find(draft.id)
    if (known !== undefined) return { cursor: this.#at(known.seq), repeated: true }
    this.#seq++
    this.#appendedAt = now
    // A draft expires by the wall clock.
    const ttlEndsAt = (draft.expiresAt ?? Number.POSITIVE_INFINITY) - this.#around.steady.jumped
    // A draft that expired on its way here only takes its seq.
    if (now <= ttlEndsAt) this.#keep(draft, ttlEndsAt)
    return { cursor: this.#at(this.#seq), repeated: false }
  }

  /** The entry of that id, as long as it is retained. */
  find(id: string): Kept | undefined {
    return this.#retained?.byId.get(id)
  }

  open(now: number): Opened {
    this.#purge(now)
    return {
      head: this.#at(this.#seq),
      received: this.#received,
      removedThrough: this.#removedThrough,
      lostThrough: this.#lostThrough,
      bases: [],
    }
  }

  /** Of each entry `of` it; without acknowledged ones when only unsettled ones are meant. */
  read<E extends Entry>(
    after: number,
    limit: PageLimit,
    now: number,
    {
      of,
      unsettledOnly = false,
    }: { readonly of: (entry: Kept, body: string) => E; readonly unsettledOnly?: boolean },
  ): Page<E> {
    this.#purge(now)
    const entries: E[] = []
    let through = this.#seq
    let bytes = 0
    this.#retained?.bySeq.visitAfter(after, kept => {
      const { body = '', isAcked } = kept
      if (unsettledOnly && isAcked) return true
      bytes += body.length
      if (entries.length > 0 && (entries.length >= limit.entries || bytes > limit.bytes)) {
        through = entries.at(-1)?.seq ?? through
        return false
      }
      entries.push(of(kept, body))
      return true
    })
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

  /** A cursor beyond the head proves nothing. Costs the entries it passes, each once. */
  received({ epoch, seq }: Cursor, now: number): void {
    if (epoch !== this.#epoch || seq > this.#seq || seq <= this.#received) return
    this.#purge(now)
    this.#retained?.bySeq.visitAfter(this.#received, entry => {
      if (entry.seq > seq) return false
      if (entry.state === 'queued' || entry.state === 'sent') this.#enter(entry, 'received', now)
      return true
    })
    this.#received = seq
  }

  handed(epoch: Epoch, seqs: readonly number[], now: number): void {
    if (epoch !== this.#epoch) return
    for (const seq of seqs) {
      const entry = this.#retained?.bySeq.find(seq)
      if (entry !== undefined) this.#deliver(entry, now)
    }
  }

  /** Acknowledges an entry of this log, retained or not. */
  ack(entry: Kept, now: number): Acked {
    const cursor = this.#at(entry.seq)
    const late = entry.state === 'expired' || entry.state === 'dropped'
    if (entry.isAcked) return { late, cursor }
    entry.isAcked = true
    if (entry.body !== undefined) this.#retained?.settle(entry)
    if (late) return { late, cursor }
    // An acknowledgement proves a delivery that is not yet noted.
    if (entry.attempts === 0) this.#deliver(entry, now)
    this.#enter(entry, 'acked', now)
    this.#around.observer.acked(entry.owner, now - entry.firstAt)
    return { late, cursor }
  }

  ackThrough({ epoch, seq }: Cursor, now: number): number | undefined {
    if (epoch !== this.#epoch || seq > this.#seq) return undefined
    this.#purge(now)
    let count = 0
    this.#retained?.bySeq.visitAfter(0, entry => {
      if (entry.seq > seq) return false
      if (entry.isAcked) return true
      this.ack(entry, now)
      count++
      return true
    })
    return count
  }

  redeliver({ epoch, seq }: Cursor, most: number, now: number): Redelivery | undefined {
    if (epoch !== this.#epoch) return undefined
    this.#purge(now)
    const entry = this.#retained?.bySeq.find(seq)
    if (entry?.body === undefined || !entry.isPending) return undefined
    if (entry.attempts >= most) {
      this.#enter(entry, 'expired', now)
      this.#around.observer.gaveUp(entry.owner)
      return undefined
    }
    this.#deliver(entry, now)
    entry.redelivered++
    const { body, redelivered, trace } = entry
    return { body, redelivered, ...(trace !== undefined && { trace }) }
  }

  /** Nothing is left of it, and its head need not stay known any longer. */
  isOver(now: number): boolean {
    return this.size(now) === 0 && now > this.#appendedAt + HEAD_KEPT_MS
  }

  #at(seq: number): Cursor {
    return { epoch: this.#epoch, seq }
  }

  /** States tell the wall clock's time at which they began. */
  #enter(entry: Kept, state: State, now: number): void {
    entry.state = state
    entry.at = now + this.#around.steady.jumped
  }

  #deliver(entry: Kept, now: number): void {
    entry.attempts++
    if (entry.attempts > 1) return
    entry.firstAt = now
    if (entry.state === 'queued') this.#enter(entry, 'sent', now)
    // Nobody else asks for it, and it is in the way of every send.
    if (this.#around.limits.acknowledged) this.#around.observer.tracked(entry.owner, 1)
  }

  #keep(draft: Draft, ttlEndsAt: number): void {
    const { limits, sharedName, steady } = this.#around
    const shared = { owner: this.#owner, eventType: sharedName(draft.eventType) }
    const times = {
      at: this.#appendedAt + steady.jumped,
      ttlEndsAt,
      ageEndsAt: this.#appendedAt + limits.retentionMs,
    }
    const entry = new Kept(draft, shared, this.#seq, times)
    this.#retained ??= new Retained()
    this.#retained.add(entry)
    this.#around.kept(entry, this.#appendedAt)
    if (this.#retained.byId.size <= limits.maxEntries) return
    // With acknowledgement on a receipt settles nothing.
    const victim = this.#retained.victim(limits.acknowledged ? 0 : this.#received)
    if (victim !== undefined) this.#remove(victim, 'overflow', this.#appendedAt)
  }

  #purge(now: number): void {
    for (let entry = this.#retained?.ended(now); entry !== undefined; entry = this.#retained?.ended(now))
      this.#remove(entry, entry.endsByTtl ? 'ttl' : 'age', now)
  }

  #remove(entry: Kept, cause: 'ttl' | 'age' | 'overflow', now: number): void {
    const { limits, observer } = this.#around
    const isReceived = entry.seq <= this.#received
    if (cause !== 'ttl') {
      this.#removedThrough = Math.max(this.#removedThrough, entry.seq)
      if (!isReceived && !entry.isAcked) this.#lostThrough = Math.max(this.#lostThrough, entry.seq)
    }
    this.#retained?.remove(entry)
    if (this.#retained?.byId.size === 0) this.#retained = undefined
    const isPending = limits.acknowledged && entry.isPending
    const isSettled = limits.acknowledged ? entry.isAcked : isReceived
    const state = cause === 'overflow' ? 'dropped' : 'expired'
    // With acknowledgement off an evicted entry that was handed over keeps its state.
    const isKept = cause === 'overflow' && !limits.acknowledged && entry.state !== 'queued'
    if (entry.isOpen && !isKept) this.#enter(entry, state, now)
    observer.left(entry.owner, { state, unsettled: !isSettled, pending: isPending })
    this.#around.left()
  }
}
