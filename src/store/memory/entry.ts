import type { Topic } from '../../notification/topic.ts'
import type { Priority } from '../../protocol/values.ts'
import type { DeliveryState, Draft } from '../store.ts'
import { ENTRY_BYTES } from './ledger.ts'

/** A body shared by the entries of one notification. It counts once, while any of them holds it. */
export interface SharedBody {
  /** UTF-8 bytes of the body. */
  readonly bytes: number
  holders: number
}

/** Facts about an entry that its draft does not contain. Many entries share the first three. */
interface Facts extends Pick<LogEntry, 'owner' | 'eventType' | 'size' | 'seq'> {
  /** When the entry was appended, by the wall clock. */
  readonly at: number
  /** On the steady clock, like `ageEndsAt`; infinite without a ttl. */
  readonly ttlEndsAt: number
  readonly ageEndsAt: number
}

/** An entry of a log and its delivery state. A class, because there are millions of them. */
export class LogEntry {
  readonly owner: Topic
  readonly id: string
  readonly seq: number
  readonly priority: Priority
  readonly eventType: string
  readonly occurredAt: number
  readonly traceparent: string | undefined
  /** End of the ttl, by the wall clock; infinite without one. */
  readonly expiresAt: number
  /** End by ttl or age, on the steady clock. Delivered while now <= endsAt. */
  readonly endsAt: number
  /** Whether the ttl ends the entry. When ttl and age end together, the ttl counts. */
  readonly endsByTtl: boolean
  /** Undefined after the entry left its log: the rest is a tombstone without text. */
  body: string | undefined
  /** Bytes of the entry's own body, or the body it shares. */
  readonly size: number | SharedBody
  state: DeliveryState = 'queued'
  /** When the entry entered this state, by the wall clock. */
  at: number
  attempts = 0
  redelivered = 0
  /** When the entry was first handed over, on the steady clock. */
  firstAt = 0
  /** Whether the entry was acknowledged, in time or late. */
  isAcked = false

  constructor(
    { id, priority, occurredAt, expiresAt = Number.POSITIVE_INFINITY, body, traceparent }: Draft,
    { owner, eventType, size, seq, at, ttlEndsAt, ageEndsAt }: Facts,
  ) {
    this.owner = owner
    this.id = id
    this.seq = seq
    this.priority = priority
    this.eventType = eventType
    this.size = size
    this.occurredAt = occurredAt
    this.traceparent = traceparent
    this.expiresAt = expiresAt
    this.endsAt = Math.min(ttlEndsAt, ageEndsAt)
    this.endsByTtl = ttlEndsAt === this.endsAt
    this.at = at
    this.body = body
  }

  /** Whether the state can still change: neither acknowledged nor expired nor dropped. */
  get isOpen(): boolean {
    return this.state === 'queued' || this.state === 'sent' || this.state === 'received'
  }

  /** Whether the entry was handed over and its acknowledgement, if on, is still due. */
  get isPending(): boolean {
    return this.attempts > 0 && this.isOpen
  }

  /** Returns the bytes that the log grows by with this entry. */
  takeBytes(): number {
    if (typeof this.size === 'number') return ENTRY_BYTES + this.size
    return ENTRY_BYTES + (this.size.holders++ === 0 ? this.size.bytes : 0)
  }

  /** Returns the bytes that the log shrinks by without this entry. */
  giveBytes(): number {
    if (typeof this.size === 'number') return ENTRY_BYTES + this.size
    return ENTRY_BYTES + (--this.size.holders === 0 ? this.size.bytes : 0)
  }
}
