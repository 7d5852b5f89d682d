import type { Awaitable } from '../lib/flow/awaitable.ts'
import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'

/** Result of an acknowledgement. `late`: the notification had already been given up, expired or evicted. */
export interface AckResult {
  readonly late: boolean
  readonly cursor: Cursor
}

/** Acknowledgements of notifications, and redelivery until they arrive. */
export interface Acks {
  /** Acknowledges single notifications. Results in the order of the ids, at once from a store in this process; undefined for an id not in this user's log. */
  ack(owner: Topic, ids: readonly string[]): Awaitable<readonly (AckResult | undefined)[]>
  /** Acknowledges everything up to the cursor. Resolves with the count, or undefined for another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): Promise<number | undefined>
  /**
   * Counts one more delivery of an entry that waits for its acknowledgement. After `most` deliveries the entry ends as
   * `expired` instead. Undefined when there is nothing to deliver: the entry was acknowledged, given up or removed, or has
   * another epoch. `timeoutMs` is given when other nodes deliver too: nothing is counted before it has passed since the
   * last delivery.
   */
  redeliver(
    owner: Topic,
    cursor: Cursor,
    most: number,
    timeoutMs?: number,
  ): Promise<Redelivery | EarlyRedelivery | undefined>
}

/** Another node has delivered the entry. */
export interface EarlyRedelivery {
  /** Milliseconds until it is due. */
  readonly dueInMs: number
}

export interface Redelivery {
  readonly body: string
  readonly traceparent?: string
  /** 1 for the first redelivery. */
  readonly redelivered: number
}
