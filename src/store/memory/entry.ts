import type { Topic } from '../../notification/topic.ts'
import type { Priority } from '../../protocol/values.ts'
import type { DeliveryState, Draft } from '../store.ts'
import { ENTRY_BYTES } from './ledger.ts'

/** The body that entries of one notification have in common: it counts once, as long as one of them holds it. */
export interface SharedBody {
  /** UTF-8. */
  readonly bytes: number
  holders: number
}

/** What an entry has beside its draft; the first three many entries have in common. */
interface Facts extends Pick<LogEntry, 'owner' | 'eventType' | 'size' | 'seq'> {
  /** When the entry was appended, on the wall clock. */
  readonly at: number
  /** On the steady clock, as the next; infinite without a ttl. */
  readonly ttlEndsAt: number
  readonly ageEndsAt: number
}

/** One entry of a log, and what has become of it. A class, since there are millions of them. */
export class LogEntry {
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
  /** The bytes of a body that no other entry has. */
  readonly size: number | SharedBody
  state: DeliveryState = 'queued'
  /** Since when it is in this state, on the wall clock. */
  at: number
  attempts = 0
  redelivered = 0
  /** When it was first handed over, on the steady clock. */
  firstAt = 0
  /** Acknowledged, in time or late. */
  isAcked = false

  constructor(
    { id, priority, occurredAt, expiresAt = Number.POSITIVE_INFINITY, body, traceparent: trace }: Draft,
    { owner, eventType, size, seq, at, ttlEndsAt, ageEndsAt }: Facts,
  ) {
    this.owner = owner
    this.id = id
    this.seq = seq
    this.priority = priority
    this.eventType = eventType
    this.size = size
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

  /** The bytes that a log holds more with this entry. */
  takeBytes(): number {
    if (typeof this.size === 'number') return ENTRY_BYTES + this.size
    return ENTRY_BYTES + (this.size.holders++ === 0 ? this.size.bytes : 0)
  }

  /** The bytes that a log holds less without this entry. */
  giveBytes(): number {
    if (typeof this.size === 'number') return ENTRY_BYTES + this.size
    return ENTRY_BYTES + (--this.size.holders === 0 ? this.size.bytes : 0)
  }
}
