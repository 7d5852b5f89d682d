import type { Config } from '../config/config.ts'
import type { Dispatch } from '../dispatch/dispatcher.ts'
import type { RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Logger } from '../observe/log.ts'
import type { Stats } from '../observe/stats.ts'
import type { Tracing } from '../observe/tracing.ts'
import { createHandler } from './handler.ts'
import { createLinkReporter } from './link-lines.ts'
import { createOutcomes } from './outcomes.ts'
import { startPubSub, type Trigger } from './pubsub.ts'
import type { Readers } from './trigger.ts'

interface TriggersOptions extends Readers {
  readonly address: RedisAddress
  readonly settings: Pick<Config, 'tenantEnabled'> & Parameters<typeof startPubSub>[0]['settings']
  readonly dispatch: Dispatch
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Redis Pub/Sub has no back-pressure: messages beyond this bound are rejected. */
const MAX_BYTES_UNDER_WAY = 67_108_864

/** Starts everything that receives messages from the Redis of REDIS_URL. */
export function startTriggers({
  address,
  settings,
  composer,
  once,
  dispatch,
  clock,
  logger,
  stats,
  tracing,
}: TriggersOptions): Trigger {
  const outcomes = createOutcomes({ clock, logger, stats })
  const reporter = createLinkReporter({ address, clock, logger })
  return startPubSub({
    address,
    settings,
    handler: createHandler({
      composer,
      once,
      dispatch,
      tenancy: settings.tenantEnabled,
      maxBytes: MAX_BYTES_UNDER_WAY,
      clock,
      tracing,
    }),
    outcomes,
    onReceived: () => {
      stats.redisMessagesReceived++
    },
    reporter,
    clock,
  })
}
