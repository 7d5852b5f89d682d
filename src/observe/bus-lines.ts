import type { LinkEvent } from '../lib/redis/reconnecting-link.ts'
import type { Clock } from '../lib/time/clock.ts'
import { limitedChanges } from './limited-changes.ts'
import type { Logger } from './log.ts'

const LINES_PER_SECOND = 2

type BusEvent = 'bus.connected' | 'bus.back' | 'bus.lost' | 'bus.away' | 'bus.evict_refused'

interface BusLine {
  readonly level: 'info' | 'warn'
  readonly event: BusEvent
  readonly seconds?: number
  readonly reason?: string
}

/** Logs when the bus is lost and back, and why it is away. */
export function tellOfBus(logger: Logger, clock: Pick<Clock, 'monotonic'>) {
  /** Undefined before the first connection. */
  let lostAt: number | undefined
  const say = limitedChanges<BusLine>({
    perSecond: LINES_PER_SECOND,
    clock,
    kindOf: ({ event }) => (event === 'bus.evict_refused' ? event : 'state'),
    write: ({ level, event, ...fields }) => logger[level](fields, event),
  })
  const warn = (event: BusEvent, reason: string): void => say({ level: 'warn', event, reason })

  const onState = (event: LinkEvent): void => {
    switch (event.type) {
      case 'connected':
        if (lostAt === undefined) say({ level: 'info', event: 'bus.connected' })
        else {
          const seconds = Math.round((clock.monotonic() - lostAt) / 1000)
          say({ level: 'info', event: 'bus.back', seconds })
        }
        break
      case 'lost':
        lostAt = clock.monotonic()
        warn('bus.lost', event.reason)
        break
      case 'failed':
        warn('bus.away', event.reason)
        break
      case 'breaker':
        break
    }
  }
  return { onState, onEvictRefused: (reason: string): void => warn('bus.evict_refused', reason) }
}
