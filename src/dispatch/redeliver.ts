import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Acks } from '../store/store.ts'
import type { Reach } from './reach.ts'

export interface RedeliverOptions {
  readonly reach: Pick<Reach, 'redeliver'>
  readonly acks: Pick<Acks, 'redeliver'>
  /** Maximum deliveries of one entry, the first included. */
  readonly maxDeliveries: number
  readonly onRedelivered: () => void
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Redelivers one entry. False if it was acknowledged, has expired or left the log. */
export type Redeliver = (owner: Topic, cursor: Cursor) => Promise<boolean>

export function createRedeliver({
  reach,
  acks,
  maxDeliveries,
  onRedelivered,
  tracing,
}: RedeliverOptions): Redeliver {
  return async (owner, cursor) => {
    const span = tracing?.start('redelivery')
    const found = await acks.redeliver(owner, cursor, maxDeliveries)
    if (found === undefined) return false
    span?.link(found.traceparent)
    const { body, redelivered } = found
    const { delivered } = await reach.redeliver({ owner, cursor, body, redelivered })
    onRedelivered()
    span?.set({ 'ara.entries': 1, 'ara.delivered_to': delivered })
    span?.end()
    return true
  }
}
