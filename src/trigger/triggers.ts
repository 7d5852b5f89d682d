import type { Bus } from '../bus/bus.ts'
import type { Config } from '../config/config.ts'
import type { Dispatch } from '../dispatch/dispatcher.ts'
import type { InOneGo } from '../lib/redis/messages.ts'
import type { ReconnectSettings } from '../lib/redis/reconnect-policy.ts'
import type { LinkState } from '../lib/redis/reconnecting-link.ts'
import type { RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Logger } from '../observe/log.ts'
import type { Stats } from '../observe/stats.ts'
import type { Tracing } from '../observe/tracing.ts'
import { createHandler } from './handler.ts'
import { createLinkReporter } from './link-lines.ts'
import { createOutcomes } from './outcomes.ts'
import { startPubSub, type Trigger } from './pubsub.ts'
import { startStream } from './stream/stream.ts'
import type { Readers } from './trigger.ts'

interface TriggersOptions extends Omit<Readers, 'tenancy'> {
  readonly address: RedisAddress
  readonly settings: Pick<
    Config,
    | 'redisChannels'
    | 'redisStream'
    | 'redisStreamGroup'
    | 'nodeId'
    | 'busUrl'
    | 'tenantEnabled'
    | keyof ReconnectSettings
  >
  readonly dispatch: Dispatch
  readonly inOneGo: InOneGo
  readonly bus: Pick<Bus, 'instance'>
  /** Whether a send to a user would be accepted now. */
  readonly isReady: () => boolean
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

const BREAKERS = ['closed', 'half_open', 'open'] as const

/** Joins the states of several connections: the worst counts. */
const joinStates = (states: readonly LinkState[]): LinkState => ({
  connected: states.every(({ connected }) => connected),
  breaker: BREAKERS[Math.max(...states.map(({ breaker }) => BREAKERS.indexOf(breaker)))] ?? 'closed',
  failures: Math.max(...states.map(({ failures }) => failures)),
  attempts: Math.max(...states.map(({ attempts }) => attempts)),
  reconnections: Math.max(...states.map(({ reconnections }) => reconnections)),
})

/** Redis Pub/Sub has no back-pressure: messages beyond this bound are rejected. */
const MAX_BYTES_UNDER_WAY = 67_108_864

/** Starts everything that receives messages from the Redis of REDIS_URL. */
export function startTriggers({
  address,
  settings,
  composer,
  once,
  dispatch,
  inOneGo,
  bus,
  isReady,
  clock,
  logger,
  stats,
  tracing,
}: TriggersOptions): Trigger {
  const { tenantEnabled: tenancy, redisStream: stream, busUrl } = settings
  const outcomes = createOutcomes({ clock, logger, stats })
  const reporter = createLinkReporter({ address, clock, logger })
  const handlerOf = (maxBytes: number) =>
    createHandler({ composer, once, dispatch, tenancy, maxBytes, clock, tracing })
  const common = { address, settings, outcomes, reporter, clock }
  const onReceived = () => {
    stats.redisMessagesReceived++
  }
  const sharing =
    busUrl.kind === 'none'
      ? undefined
      : { address: busUrl.address, holder: bus.instance, settings, clock, logger }
  const pubSub = startPubSub({
    ...common,
    handler: handlerOf(MAX_BYTES_UNDER_WAY),
    inOneGo,
    onReceived,
    sharing,
  })
  if (stream === undefined) return pubSub
  // The stream bounds what it reads.
  const handler = handlerOf(Number.POSITIVE_INFINITY)
  const both = [pubSub, startStream({ ...common, name: stream, handler, isReady, logger, stats })]
  return {
    get state() {
      return joinStates(both.map(({ state }) => state))
    },
    stop: async () => {
      await Promise.all(both.map(each => each.stop()))
    },
  }
}
