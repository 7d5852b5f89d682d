import { take } from '../lib/bucket.ts'
import type { Clock } from '../lib/clock.ts'

/** What is kept of each connection: one number. */
export interface Speaker {
  /** When it may again send as many messages at once as it ever may, in monotonic milliseconds. */
  quietAt: number
}

/** Whether one more message of that connection is within its rate; counts it when it is. */
export type MessageLimit = (speaker: Speaker) => boolean

/** So many messages at once, and so many a second. */
export function createMessageLimit({
  perSecond,
  clock,
}: {
  readonly perSecond: number
  readonly clock: Clock
}): MessageLimit {
  const rate = { capacity: perSecond, intervalMs: 1_000 / perSecond }
  return speaker => {
    const { fullAt, waitMs } = take(speaker.quietAt, clock.monotonic(), rate)
    speaker.quietAt = fullAt
    return waitMs === 0
  }
}
