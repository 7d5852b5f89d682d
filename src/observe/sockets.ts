import type { Clock } from '../lib/time/clock.ts'
import { limited } from './limited.ts'
import type { Logger } from './log.ts'
import type { Stats } from './stats.ts'

const LINES_PER_SECOND = 2

interface Fields {
  readonly open: number
  readonly max: number
}

/** Counts and logs connections rejected because too many sockets are open. */
export function tellOfSockets(logger: Logger, clock: Clock, stats: Pick<Stats, 'connectionsRefused'>) {
  const say = limited<Fields & { readonly turned_away: number }>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'sockets.turned_away'),
  })
  const sayFull = limited<Fields>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'sockets.full'),
  })
  return {
    onTurnedAway: (count: number, { open, max }: Fields): void => {
      stats.connectionsRefused.total += count
      say({ turned_away: count, open, max })
    },
    onFull: ({ open, max, isFull }: Fields & { readonly isFull: boolean }): void => {
      if (isFull) sayFull({ open, max })
      else logger.info({ open, max }, 'sockets.free')
    },
  }
}
