import type { ReconnectSettings } from '../../lib/redis/reconnect-policy.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { limited } from '../../observe/limited.ts'
import type { Logger } from '../../observe/log.ts'
import { keepLease } from './lease.ts'
import { createTurn, type Turn } from './turn.ts'

/** Shares messages that all nodes receive: the holder of a lease dispatches each, the others none. */
export interface Sharing extends Pick<Turn, 'receive'> {
  subscribed(): void
  unsubscribed(): void
  /** Lets another node dispatch. */
  end(): Promise<void>
}

export interface SharingOptions {
  /** Redis of the bus, which has the lease. */
  readonly address: RedisAddress
  /** Name of this process. */
  readonly holder: string
  readonly settings: ReconnectSettings
  readonly clock: Clock
  readonly logger: Logger
}

const LINES_PER_SECOND = 2

export function createSharing(
  { address, holder, settings, clock, logger }: SharingOptions,
  hearing: Pick<Parameters<typeof createTurn>[0], 'handle' | 'onLost' | 'fence'>,
): Sharing {
  let isSubscribed = false
  const line = <F extends object>(write: (fields: F) => void) =>
    limited<F>({ perSecond: LINES_PER_SECOND, clock, write })
  const change = line<{ readonly isHolder: boolean }>(({ isHolder, ...more }) =>
    logger.info(more, isHolder ? 'lease.held' : 'lease.lost'),
  )
  const refused = line<{ readonly reason: string }>(fields => logger.warn(fields, 'lease.refused'))
  const turn = createTurn({
    ...hearing,
    onChange: isHolder => change({ isHolder }),
    clock,
  })
  const lease = keepLease({
    address,
    settings,
    holder,
    isWanted: () => isSubscribed,
    onAnswer: turn.answered,
    onRefused: reason => refused({ reason }),
    clock,
  })

  return {
    receive: turn.receive,
    subscribed: () => {
      isSubscribed = true
      turn.subscribed()
      void lease.ask()
    },
    unsubscribed: () => {
      isSubscribed = false
      if (turn.unsubscribed()) void lease.release()
    },
    end: async () => {
      isSubscribed = false
      if (turn.unsubscribed()) await lease.release()
      lease.end()
    },
  }
}
