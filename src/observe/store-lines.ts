import type { Clock } from '../lib/time/clock.ts'
import { limited } from './limited.ts'
import type { Logger } from './log.ts'

const LINES_PER_SECOND = 2

/** Logs why a store is unavailable, and warnings that its data may not last. */
export const tellOfStore = (logger: Logger, clock: Clock) => {
  const sayAway = limited<{ readonly reason: string }>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'store.away'),
  })
  return {
    onAway: (reason: string): void => sayAway({ reason }),
    onWarning: (warning: string): void => logger.warn({ warning }, 'start.warning'),
  }
}
