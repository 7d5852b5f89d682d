import { take } from '../lib/flow/bucket.ts'
import type { Clock } from '../lib/time/clock.ts'

/** State of the message limit for one connection. */
export interface MessageBucket {
  /** When the bucket is full again, in monotonic milliseconds. */
  quietAt: number
}

/** Whether a message of `length` characters is within the rate; counts it if so. */
export type MessageLimit = (bucket: MessageBucket, length: number) => boolean

/** Characters per token: a long message takes as long to read as several short ones. */
const CHARACTERS_PER_TOKEN = 4_096

/** Allows `perSecond` messages at once and per second. No message costs more than a full bucket. */
export function createMessageLimit({
  perSecond,
  clock,
}: {
  readonly perSecond: number
  readonly clock: Clock
}): MessageLimit {
  const rate = { capacity: perSecond, intervalMs: 1_000 / perSecond }
  return (bucket, length) => {
    const cost = Math.min(perSecond, Math.max(1, Math.ceil(length / CHARACTERS_PER_TOKEN)))
    const { fullAt, waitMs } = take(bucket.quietAt, clock.monotonic(), rate, cost)
    bucket.quietAt = fullAt
    return waitMs === 0
  }
}
