import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { Topic } from '../../notification/topic.ts'
import type { DeliveryState, StoreLimits, StoreObserver } from '../store.ts'
import { ACKED, AT, ATTEMPTS, FIRST_AT, FLAGS, type Row, type Rows, STATE } from './rows.ts'

/** Values of the field STATE, in the order in which an entry passes through them. */
export const QUEUED = 0
const SENT = 1
const RECEIVED = 2
/** Acknowledged in time. */
const SETTLED = 3
export const EXPIRED = 4
export const DROPPED = 5

const NAMES: readonly DeliveryState[] = ['queued', 'sent', 'received', 'acked', 'expired', 'dropped']

export const nameOf = (state: number): DeliveryState => NAMES[state] ?? 'queued'

interface StatesOptions {
  readonly rows: Rows
  readonly steady: Pick<SteadyClock, 'jumped'>
  readonly limits: Pick<StoreLimits, 'acknowledged'>
  readonly observer: Pick<StoreObserver, 'tracked' | 'acked'>
}

/** Delivery state of each entry. `now` is the time of the steady clock. */
export class DeliveryStates {
  readonly #rows: Rows
  readonly #steady: StatesOptions['steady']
  readonly #limits: StatesOptions['limits']
  readonly #observer: StatesOptions['observer']

  constructor({ rows, steady, limits, observer }: StatesOptions) {
    this.#rows = rows
    this.#steady = steady
    this.#limits = limits
    this.#observer = observer
  }

  of(row: Row): number {
    return this.#rows.byte(row, STATE)
  }

  isAcked(row: Row): boolean {
    return this.#rows.has(row, ACKED)
  }

  /** Whether the state can still change: neither acknowledged nor expired nor dropped. */
  isOpen(row: Row): boolean {
    return this.of(row) <= RECEIVED
  }

  /** Whether the entry was handed over and its acknowledgement, if on, is still due. */
  isPending(row: Row): boolean {
    return this.#rows.integer(row, ATTEMPTS) > 0 && this.isOpen(row)
  }

  enter(row: Row, state: number, now: number): void {
    this.#rows.setByte(row, STATE, state)
    this.#rows.setDouble(row, AT, now + this.#steady.jumped)
  }

  receive(row: Row | undefined, now: number): true {
    if (row !== undefined && this.of(row) < RECEIVED) this.enter(row, RECEIVED, now)
    return true
  }

  /** Counts one delivery to the owner of the entry. */
  deliver(row: Row, owner: Topic, now: number): void {
    const attempts = this.#rows.integer(row, ATTEMPTS) + 1
    this.#rows.setInteger(row, ATTEMPTS, attempts)
    if (attempts > 1) return
    this.#rows.setDouble(row, FIRST_AT, now)
    if (this.of(row) === QUEUED) this.enter(row, SENT, now)
    // Skipped with acknowledgement off: only its statistics use this, and every send runs it.
    if (this.#limits.acknowledged) this.#observer.tracked(owner, 1)
  }

  /** Notes an acknowledgement. Returns whether it was the first one. */
  acknowledge(row: Row): boolean {
    if (this.isAcked(row)) return false
    this.#rows.setByte(row, FLAGS, this.#rows.byte(row, FLAGS) | ACKED)
    return true
  }

  /** Settles an entry that was acknowledged in time. */
  settle(row: Row, owner: Topic, now: number): void {
    // An acknowledgement proves a delivery even before that delivery is noted.
    if (this.#rows.integer(row, ATTEMPTS) === 0) this.deliver(row, owner, now)
    this.enter(row, SETTLED, now)
    this.#observer.acked(owner, now - this.#rows.double(row, FIRST_AT))
  }
}
