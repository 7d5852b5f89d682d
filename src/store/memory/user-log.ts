import type { Cursor, Epoch } from '../../notification/cursor.ts'
import type { Topic } from '../../notification/topic.ts'
import type { AckResult, Redelivery } from '../acks.ts'
import type { PageLimit } from '../page-limit.ts'
import type { AppendResult, Draft, Entry, LogStart, Page } from '../store.ts'
import type { LogContext, ReadOptions } from './context.ts'
import type { DueLog } from './due-logs.ts'
import { Entries } from './entries.ts'
import { fill } from './entry.ts'
import type { Head } from './head.ts'
import { type Account, ENTRY_BYTES } from './ledger.ts'
import { ATTEMPTS, BY_TTL, FLAGS, KEPT, NONE, REDELIVERED, type Row, SEQ } from './rows.ts'
import { DROPPED, EXPIRED, nameOf, QUEUED } from './states.ts'
import type { Text } from './text.ts'

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

  append(draft: Draft, text: Text, now: number): AppendResult {
    this.purge(now)
    const known = this.find(draft.id)
    if (known !== undefined)
      return { cursor: this.#at(this.#context.rows.double(known, SEQ)), repeated: true }
    const { head } = this
    head.seq++
    head.appendedAt = now
    // The wall clock decides whether a draft expired. One that arrives expired only uses up a seq.
    const ttlEndsAt = (draft.expiresAt ?? Number.POSITIVE_INFINITY) - this.#context.steady.jumped
    if (now <= ttlEndsAt) this.#keep(draft, text, ttlEndsAt)
    return { cursor: this.#at(head.seq), repeated: false }
  }

  /** Finds a retained entry by notification id. */
  find(id: string): Row | undefined {
    const { rows, reports } = this.#context
    if (this.#retained === undefined) return undefined
    const row = reports.entryOf(id, this.owner)
    return rows.has(row, KEPT) ? row : undefined
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
    const { rows, bodies, states } = this.#context
    const { epoch, seq, removedThrough } = this.head
    const page: Row[] = []
    let through = seq
    let bytes = 0
    this.#retained?.bySeq.visitAfter(after, row => {
      if (unsettledOnly && states.isAcked(row)) return true
      bytes += bodies.bytesOf(row)
      const last = page.at(-1)
      if (last !== undefined && (page.length >= limit.entries || bytes > limit.bytes)) {
        through = rows.double(last, SEQ)
        return false
      }
      page.push(row)
      return true
    })
    const entries = bodies.readAll(page).map((body, n) => of(page[n] ?? NONE, body))
    return { epoch, entries, through, removedThrough }
  }

  count(after: number, now: number): number {
    this.purge(now)
    return this.#retained?.bySeq.countAfter(after) ?? 0
  }

  /** Ignores a cursor beyond the head. Costs one step per entry passed, once each. */
  received({ epoch, seq }: Cursor, now: number): void {
    const { rows, states } = this.#context
    const { head } = this
    if (epoch !== head.epoch || seq > head.seq || seq <= head.received) return
    this.purge(now)
    const bySeq = this.#retained?.bySeq
    // Fast path: most receipts cover one entry.
    if (seq === head.received + 1) states.receive(bySeq?.find(seq), now)
    else bySeq?.visitAfter(head.received, row => rows.double(row, SEQ) <= seq && states.receive(row, now))
    head.received = seq
  }

  handed(epoch: Epoch, seqs: readonly number[], now: number): void {
    if (epoch !== this.head.epoch) return
    for (const seq of seqs) {
      const row = this.#retained?.bySeq.find(seq)
      if (row !== undefined) this.#context.states.deliver(row, this.owner, now)
    }
  }

  /** Acknowledges an entry of this log, retained or not. */
  ack(row: Row, now: number): AckResult {
    const { rows, states } = this.#context
    const cursor = this.#at(rows.double(row, SEQ))
    const late = states.of(row) === EXPIRED || states.of(row) === DROPPED
    if (!states.acknowledge(row)) return { late, cursor }
    if (rows.has(row, KEPT)) this.#retained?.settle(row)
    if (!late) states.settle(row, this.owner, now)
    return { late, cursor }
  }

  ackThrough({ epoch, seq }: Cursor, now: number): number | undefined {
    if (epoch !== this.head.epoch || seq > this.head.seq) return undefined
    this.purge(now)
    const { rows, states } = this.#context
    let count = 0
    this.#retained?.bySeq.visitAfter(0, row => {
      if (rows.double(row, SEQ) > seq) return false
      if (states.isAcked(row)) return true
      this.ack(row, now)
      count++
      return true
    })
    return count
  }

  redeliver({ epoch, seq }: Cursor, most: number, now: number): Redelivery | undefined {
    const { rows, bodies, states, observer } = this.#context
    if (epoch !== this.head.epoch) return undefined
    this.purge(now)
    const row = this.#retained?.bySeq.find(seq)
    if (row === undefined || !states.isPending(row)) return undefined
    if (rows.integer(row, ATTEMPTS) >= most) {
      states.enter(row, EXPIRED, now)
      observer.gaveUp(this.owner)
      return undefined
    }
    states.deliver(row, this.owner, now)
    const redelivered = rows.byte(row, REDELIVERED) + 1
    rows.setByte(row, REDELIVERED, redelivered)
    const traceparent = rows.traceparents.get(row)
    const body = bodies.read(row)
    return { body, redelivered, ...(traceparent !== undefined && { traceparent }) }
  }

  /** Removes at most `most` ended entries. Returns how many it removed. */
  purge(now: number, most = Number.POSITIVE_INFINITY): number {
    let removed = 0
    for (; removed < most; removed++) {
      const row = this.#retained?.ended(now)
      if (row === undefined) break
      const isByTtl = this.#context.rows.has(row, BY_TTL)
      this.#remove(row, isByTtl ? 'ttl' : 'age', now)
    }
    return removed
  }

  #at(seq: number): Cursor {
    return { epoch: this.head.epoch, seq }
  }

  #keep(draft: Draft, text: Text, ttlEndsAt: number): void {
    const { limits, ledger, rows, bodies, reports, steady } = this.#context
    const { appendedAt, received, seq } = this.head
    // The owner of the log: all its entries share one string.
    const row = reports.add(draft.id, this.owner, draft.eventType)
    const ageEndsAt = appendedAt + limits.retentionMs
    fill(rows, row, draft, { seq, appendedAt, ttlEndsAt, ageEndsAt, jumped: steady.jumped })
    if (this.#retained === undefined) {
      this.#retained = new Entries(rows)
      ledger.users++
    }
    ledger.messages++
    ledger.add(this.account, ENTRY_BYTES + bodies.keep(row, text))
    this.#retained.add(row)
    if (this.#retained.bySeq.length <= limits.maxEntries) return
    // With acknowledgement on, a receipt settles nothing.
    const victim = this.#retained.victim(limits.acknowledged ? 0 : received)
    if (victim !== undefined) this.#remove(victim, 'overflow', appendedAt)
  }

  #remove(row: Row, cause: 'ttl' | 'age' | 'overflow', now: number): void {
    const { limits, ledger, observer, rows, bodies, reports, states } = this.#context
    const { head } = this
    const seq = rows.double(row, SEQ)
    const isReceived = seq <= head.received
    const isAcked = states.isAcked(row)
    if (cause !== 'ttl') {
      head.removedThrough = Math.max(head.removedThrough, seq)
      if (!isReceived && !isAcked) head.lostThrough = Math.max(head.lostThrough, seq)
    }
    this.#retained?.remove(row)
    if (this.#retained?.bySeq.length === 0) {
      this.#retained = undefined
      ledger.users--
    }
    ledger.messages--
    ledger.add(this.account, -ENTRY_BYTES - bodies.drop(row))
    rows.setByte(row, FLAGS, rows.byte(row, FLAGS) & ~KEPT)
    rows.traceparents.delete(row)
    const pending = limits.acknowledged && states.isPending(row)
    const unsettled = limits.acknowledged ? !isAcked : !isReceived
    const end = cause === 'overflow' ? DROPPED : EXPIRED
    // With acknowledgement off, an evicted entry that was handed over keeps its state.
    const isKept = cause === 'overflow' && !limits.acknowledged && states.of(row) !== QUEUED
    if (states.isOpen(row) && !isKept) states.enter(row, end, now)
    observer.left(this.owner, { state: nameOf(end), unsettled, pending })
    // The last step: it may release the row.
    reports.left(row)
  }
}
