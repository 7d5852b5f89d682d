import type { Clock } from '../lib/time/clock.ts'
import { type Span, traceOf } from '../lib/trace-context.ts'
import { limited } from '../observe/limited.ts'
import type { Logger } from '../observe/log.ts'
import type { Stats } from '../observe/stats.ts'
import { type RejectedMessage, sourceOf } from './trigger.ts'

/** Where a message came from, as fields of a log line. */
export type Place = { readonly channel: string } | { readonly stream: string; readonly entry: string }

/** Counts and logs messages that were not dispatched. */
export interface Outcomes {
  rejected(place: Place, rejection: RejectedMessage, span?: Span): void
  /** Reports a defect of our code. */
  fault(name: string, error: unknown, span?: Span): void
}

interface OutcomesOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  readonly logger: Logger
  readonly stats: Pick<Stats, 'redisMessagesRejected' | 'unhandledErrors'>
}

const REJECTION_LINES_PER_SECOND = 10
/** Characters of a name in a log line. */
const MAX_NAME = 256

const shortened = (place: Place): Place =>
  'channel' in place ? { channel: place.channel.slice(0, MAX_NAME) } : place

export function createOutcomes({ clock, logger, stats }: OutcomesOptions): Outcomes {
  const sayRejected = limited<object>({
    perSecond: REJECTION_LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'redis.rejected'),
  })
  return {
    rejected: (place, { reason, code, fault }, span) => {
      stats.redisMessagesRejected[reason]++
      sayRejected({
        ...shortened(place),
        reason,
        ...(code && { code }),
        ...(fault && { fault }),
        ...traceOf(span),
      })
    },
    fault: (name, error, span) => {
      stats.unhandledErrors++
      logger.error({ err: error, source: sourceOf(name).slice(0, MAX_NAME), ...traceOf(span) }, 'redis.fault')
    },
  }
}
