import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Acks } from '../store/acks.ts'
import type { Reach } from './reach.ts'

export interface RedeliverOptions {
  readonly reach: Pick<Reach, 'redeliver'>
  readonly acks: Pick<Acks, 'redeliver'>
  /** Maximum deliveries of one entry, the first included. */
  readonly maxDeliveries: number
  /** Time to acknowledge, when other nodes deliver too. */
  readonly sharedTimeoutMs?: number | undefined
  readonly onRedelivered: () => void
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/**
 * Redelivers one entry. `ends`: it was acknowledged, has expired or left the log. A number: another node has delivered it,
 * and it is due in so many milliseconds.
 */
export type Redeliver = (owner: Topic, cursor: Cursor) => Promise<'ends' | 'waits' | number>

export function createRedeliver({
  reach,
  acks,
  maxDeliveries,
  sharedTimeoutMs,
  onRedelivered,
  tracing,
}: RedeliverOptions): Redeliver {
  return async (owner, cursor) => {
    const span = tracing?.start('redelivery')
    const found = await acks.redeliver(owner, cursor, maxDeliveries, sharedTimeoutMs)
    if (found === undefined) return 'ends'
    if ('dueInMs' in found) return found.dueInMs
    span?.link(found.traceparent)
    const { body, redelivered } = found
    const { delivered } = await reach.redeliver({ owner, cursor, body, redelivered })
    onRedelivered()
    span?.set({ 'ara.entries': 1, 'ara.delivered_to': delivered })
    span?.end()
    return 'waits'
  }
}
