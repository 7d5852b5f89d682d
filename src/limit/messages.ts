import { take } from '../lib/flow/bucket.ts'
import type { Clock } from '../lib/time/clock.ts'

/** What is kept of each connection: one number. */
export interface Speaker {
  /** When it may again send as many messages at once as it ever may, in monotonic milliseconds. */
  quietAt: number
}

/** Whether one more message of that length, in characters, is within the rate of the connection; counts it when it is. */
export type MessageLimit = (speaker: Speaker, length: number) => boolean

/** A longer message costs as much as several: reading it takes as long. */
const CHARACTERS_PER_TOKEN = 4_096

/** So many messages at once, and so many a second; a message never costs more than a full bucket. */
export function createMessageLimit({
  perSecond,
  clock,
}: {
  readonly perSecond: number
  readonly clock: Clock
}): MessageLimit {
  const rate = { capacity: perSecond, intervalMs: 1_000 / perSecond }
  return (speaker, length) => {
    const cost = Math.min(perSecond, Math.max(1, Math.ceil(length / CHARACTERS_PER_TOKEN)))
    const { fullAt, waitMs } = take(speaker.quietAt, clock.monotonic(), rate, cost)
    speaker.quietAt = fullAt
    return waitMs === 0
  }
}
