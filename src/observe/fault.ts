import type { Clock } from '../lib/time/clock.ts'
import { limited } from './limited.ts'
import type { Logger } from './log.ts'
import type { Stats } from './stats.ts'

/** Counts and logs a fault of our own code that must not stop other work. */
export type OnFault = (error: unknown) => void

const LINES_PER_SECOND = 10

export function createOnFault({
  logger,
  clock,
  stats,
}: {
  readonly logger: Logger
  readonly clock: Clock
  readonly stats: Pick<Stats, 'unhandledErrors'>
}): OnFault {
  const say = limited<{ readonly err: unknown; readonly total: number }>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.error(fields, 'fault.unhandled'),
  })
  return error => {
    stats.unhandledErrors++
    say({ err: error, total: stats.unhandledErrors })
  }
}
