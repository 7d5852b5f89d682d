import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { AckResult, Redelivery } from '../acks.ts'
import type { PageLimit } from '../page-limit.ts'
import type { AppendResult, DeliveryState, Draft, Entry, LogStart, Page } from '../store.ts'
import type { LogContext, ReadOptions } from './context.ts'
import type { DueLog } from './due-logs.ts'
import { Entries } from './entries.ts'
import { LogEntry, type SharedBody } from './entry.ts'
import type { Head } from './head.ts'
import type { Account } from './ledger.ts'

/** One user's log: its head and its retained entries. The caller passes the time of the steady clock. */
export class MemoryLog implements DueLog {
  dueSlot = Number.POSITIVE_INFINITY
  readonly owner: Topic
  readonly head: Head
  readonly account: Account
  readonly #context: LogContext
  /** Undefined while the log has no entries. */
  #retained: Entries | undefined

  constructor(owner: Topic, head: Head, account: Account, context: LogContext) {
    this.owner = owner
    this.head = head
    this.account = account
    this.#context = context
  }

  get isEmpty(): boolean {
    return this.#retained === undefined
  }

  /** When the next entry ends; infinite without one. */
  get endsAt(): number {
    return this.#retained?.endsAt ?? Number.POSITIVE_INFINITY
  }

  append(draft: Draft, size: number | SharedBody, now: number): AppendResult {
    this.purge(now)
    const known = this.find(draft.id)
    if (known !== undefined) return { cursor: this.#at(known.seq), repeated: true }
    const { head } = this
    head.seq++
    head.appendedAt = now
    // The wall clock decides whether a draft expired. One that arrives expired only uses up a seq.
    const ttlEndsAt = (draft.expiresAt ?? Number.POSITIVE_INFINITY) - this.#context.steady.jumped
    if (now <= ttlEndsAt) this.#keep(draft, size, ttlEndsAt)
    return { cursor: this.#at(head.seq), repeated: false }
  }

  /** Finds a retained entry by notification id. */
  find(id: string): LogEntry | undefined {
    return this.#retained?.find(id)
  }

  open(now: number): LogStart {
    this.purge(now)
    const { seq, received, removedThrough, lostThrough } = this.head
    return { head: this.#at(seq), received, removedThrough, lostThrough, bases: [] }
  }

  /** Maps each entry with `of`; `unsettledOnly` skips acknowledged ones. */
  read<E extends Entry>(
    after: number,
    limit: PageLimit,
    now: number,
    { of, unsettledOnly = false }: ReadOptions<E>,
  ): Page<E> {
    this.purge(now)
    const { epoch, seq, removedThrough } = this.head
    const entries: E[] = []
    let through = seq
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
    return { epoch, entries, through, removedThrough }
  }

  count(after: number, now: number): number {
    this.purge(now)
    return this.#retained?.bySeq.countAfter(after) ?? 0
  }

  /** Ignores a cursor beyond the head. Costs one step per entry passed, once each. */
  received({ epoch, seq }: Cursor, now: number): void {
    const { head } = this
    if (epoch !== head.epoch || seq > head.seq || seq <= head.received) return
    this.purge(now)
    const bySeq = this.#retained?.bySeq
    // Fast path: most receipts cover one entry.
    if (seq === head.received + 1) this.#receive(bySeq?.find(seq), now)
    else bySeq?.visitAfter(head.received, entry => entry.seq <= seq && this.#receive(entry, now))
    head.received = seq
  }

  handed(epoch: Epoch, seqs: readonly number[], now: number): void {
    if (epoch !== this.head.epoch) return
    for (const seq of seqs) this.#deliver(this.#retained?.bySeq.find(seq), now)
  }

  /** Acknowledges an entry of this log, retained or not. */
  ack(entry: LogEntry, now: number): AckResult {
    const cursor = this.#at(entry.seq)
    const late = entry.state === 'expired' || entry.state === 'dropped'
    if (entry.isAcked) return { late, cursor }
    entry.isAcked = true
    if (entry.body !== undefined) this.#retained?.settle(entry)
    if (late) return { late, cursor }
    // An acknowledgement proves a delivery even before that delivery is noted.
    if (entry.attempts === 0) this.#deliver(entry, now)
    this.#enter(entry, 'acked', now)
    this.#context.observer.acked(entry.owner, now - entry.firstAt)
    return { late, cursor }
  }

  ackThrough({ epoch, seq }: Cursor, now: number): number | undefined {
    if (epoch !== this.head.epoch || seq > this.head.seq) return undefined
    this.purge(now)
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
    if (epoch !== this.head.epoch) return undefined
    this.purge(now)
    const entry = this.#retained?.bySeq.find(seq)
    if (entry?.body === undefined || !entry.isPending) return undefined
    if (entry.attempts >= most) {
      this.#enter(entry, 'expired', now)
      this.#context.observer.gaveUp(entry.owner)
      return undefined
    }
    this.#deliver(entry, now)
    entry.redelivered++
    const { body, redelivered, traceparent } = entry
    return { body, redelivered, ...(traceparent !== undefined && { traceparent }) }
  }

  /** Removes at most `most` ended entries. Returns how many it removed. */
  purge(now: number, most = Number.POSITIVE_INFINITY): number {
    let removed = 0
    for (; removed < most; removed++) {
      const entry = this.#retained?.ended(now)
      if (entry === undefined) break
      this.#remove(entry, entry.endsByTtl ? 'ttl' : 'age', now)
    }
    return removed
  }

  #at(seq: number): Cursor {
    return { epoch: this.head.epoch, seq }
  }

  /** `at` uses the wall clock. */
  #enter(entry: LogEntry, state: DeliveryState, now: number): void {
    entry.state = state
    entry.at = now + this.#context.steady.jumped
  }

  #receive(entry: LogEntry | undefined, now: number): true {
    if (entry?.state === 'queued' || entry?.state === 'sent') this.#enter(entry, 'received', now)
    return true
  }

  #deliver(entry: LogEntry | undefined, now: number): void {
    if (entry === undefined) return
    entry.attempts++
    if (entry.attempts > 1) return
    entry.firstAt = now
    if (entry.state === 'queued') this.#enter(entry, 'sent', now)
    // Skipped with acknowledgement off: only its statistics use this, and every send runs it.
    if (this.#context.limits.acknowledged) this.#context.observer.tracked(entry.owner, 1)
  }

  #keep(draft: Draft, size: number | SharedBody, ttlEndsAt: number): void {
    const { limits, ledger, sharedName, steady } = this.#context
    const { appendedAt, received, seq } = this.head
    const entry = new LogEntry(draft, {
      owner: this.owner,
      eventType: sharedName(draft.eventType),
      size,
      seq,
      at: appendedAt + steady.jumped,
      ttlEndsAt,
      ageEndsAt: appendedAt + limits.retentionMs,
    })
    if (this.#retained === undefined) {
      this.#retained = new Entries()
      ledger.users++
    }
    ledger.messages++
    ledger.add(this.account, entry.takeBytes())
    this.#retained.add(entry)
    this.#context.kept(entry, appendedAt)
    if (this.#retained.size <= limits.maxEntries) return
    // With acknowledgement on, a receipt settles nothing.
    const victim = this.#retained.victim(limits.acknowledged ? 0 : received)
    if (victim !== undefined) this.#remove(victim, 'overflow', appendedAt)
  }

  #remove(entry: LogEntry, cause: 'ttl' | 'age' | 'overflow', now: number): void {
    const { limits, ledger, observer } = this.#context
    const { head } = this
    const isReceived = entry.seq <= head.received
    if (cause !== 'ttl') {
      head.removedThrough = Math.max(head.removedThrough, entry.seq)
      if (!isReceived && !entry.isAcked) head.lostThrough = Math.max(head.lostThrough, entry.seq)
    }
    this.#retained?.remove(entry)
    if (this.#retained?.size === 0) {
      this.#retained = undefined
      ledger.users--
    }
    ledger.messages--
    ledger.add(this.account, -entry.giveBytes())
    const isPending = limits.acknowledged && entry.isPending
    const isSettled = limits.acknowledged ? entry.isAcked : isReceived
    const state = cause === 'overflow' ? 'dropped' : 'expired'
    // With acknowledgement off, an evicted entry that was handed over keeps its state.
    const isKept = cause === 'overflow' && !limits.acknowledged && entry.state !== 'queued'
    if (entry.isOpen && !isKept) this.#enter(entry, state, now)
    observer.left(entry.owner, { state, unsettled: !isSettled, pending: isPending })
    this.#context.left()
  }
}
