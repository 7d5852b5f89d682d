import type { LinkEvent } from '../lib/redis/reconnecting-link.ts'
import { describe, type RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import { limitedChanges } from '../observe/limited-changes.ts'
import type { Logger } from '../observe/log.ts'

/** Logs a change of one connection. `fields` tell the connections apart. */
export type LinkReporter = (fields: object) => (event: LinkEvent) => void

const LINES_PER_SECOND = 2

/** A change, with the fields of its connection. */
interface LinkLine {
  readonly event: LinkEvent
}

/**
 * Logs changes of the connections to one Redis, with one limit for all of them. Before its first connection, breaker
 * changes are debug lines.
 */
export function createLinkReporter({
  address,
  clock,
  logger,
}: {
  readonly address: RedisAddress
  readonly clock: Clock
  readonly logger: Logger
}): LinkReporter {
  const server = describe(address)
  const say = limitedChanges<LinkLine>({
    perSecond: LINES_PER_SECOND,
    clock,
    kindOf: ({ event, ...connection }) => `${event.type === 'breaker'} ${JSON.stringify(connection)}`,
    write: ({ event, ...more }) => {
      switch (event.type) {
        case 'connected':
          return logger.info({ server, ...more }, 'redis.connected')
        case 'lost':
          return logger.warn({ server, reason: event.reason, ...more }, 'redis.lost')
        case 'failed':
          return logger.warn({ server, reason: event.reason, ...more }, 'redis.unavailable')
        case 'breaker':
          return logger.info({ server, state: event.state, ...more }, 'redis.breaker')
      }
    },
  })
  return fields => {
    let wasUp = false
    return event => {
      wasUp ||= event.type === 'connected'
      if (event.type === 'breaker' && !wasUp)
        logger.debug({ server, state: event.state, ...fields }, 'redis.breaker')
      else say({ event, ...fields })
    }
  }
}
