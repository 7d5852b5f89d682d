import type { Redis } from 'ioredis'
import type { Config } from '../config/config.ts'
import type { Composer } from '../dispatch/compose.ts'
import type { Dispatch } from '../dispatch/dispatcher.ts'
import { isRefusal, type KeyClaim, type Once } from '../dispatch/once.ts'
import { isPattern } from '../lib/redis/glob.ts'
import { type ReconnectSettings, reconnectPolicyOf } from '../lib/redis/reconnect-policy.ts'
import { keepLink, type LinkEvent, type LinkState } from '../lib/redis/reconnecting-link.ts'
import { openRedis } from '../lib/redis/redis.ts'
import { checkNoCluster } from '../lib/redis/server-info.ts'
import { describe, type RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type Span, traceOf } from '../lib/trace-context.ts'
import type { Envelope } from '../notification/target.ts'
import { limited } from '../observe/limited.ts'
import type { Logger } from '../observe/log.ts'
import type { Rejection, Stats } from '../observe/stats.ts'
import type { Tracing } from '../observe/tracing.ts'
import { createIntake, type Fill, type Intake } from './intake.ts'
import {
  type MessageResult,
  type Pending,
  type RejectedMessage,
  readMessage,
  rejectionOf,
  SOURCE,
} from './trigger.ts'

/** Receives messages from Redis channels and dispatches them. */
export interface PubSub {
  readonly state: LinkState
  /** Stops receiving at once. Resolves when all received messages are dispatched. */
  stop(): Promise<void>
}

interface PubSubOptions {
  readonly address: RedisAddress
  readonly settings: Pick<Config, 'redisChannels' | 'tenantEnabled' | keyof ReconnectSettings>
  readonly composer: Composer
  readonly dispatch: Dispatch
  readonly once: Once
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Identity of a message in log lines and traces. */
interface Heard {
  readonly channel: string
  readonly span: Span | undefined
}

const SETTING = 'REDIS_URL'
/** Redis Pub/Sub has no back-pressure: messages beyond this bound are rejected. */
const MAX_BYTES_UNDER_WAY = 67_108_864
const STATE_LINES_PER_SECOND = 2
const REJECTION_LINES_PER_SECOND = 10
/** Characters of a channel's name in a log line. */
const MAX_NAME = 256

/** The store failed, or too many messages are in progress. */
const OVERLOADED: RejectedMessage = { reason: 'store' }

/** Logs changes of the connection. Before the first connection, breaker changes are debug lines. */
function createReporter({ address, clock, logger }: Pick<PubSubOptions, 'address' | 'clock' | 'logger'>) {
  const server = describe(address)
  let wasUp = false
  const say = limited<{ readonly event: LinkEvent }>({
    perSecond: STATE_LINES_PER_SECOND,
    clock,
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
  return (event: LinkEvent): void => {
    wasUp ||= event.type === 'connected'
    if (event.type === 'breaker' && !wasUp) logger.debug({ server, state: event.state }, 'redis.breaker')
    else say({ event })
  }
}

function conclude(span: Span | undefined, outcome: Rejection | 'accepted' | 'replayed' | 'fault'): void {
  span?.set({ 'ara.outcome': outcome })
  if (outcome !== 'accepted' && outcome !== 'replayed') span?.fail()
  span?.end()
}

/** Wraps a dispatch: success ends the span of the message. */
const concluding =
  (dispatch: Dispatch): Dispatch =>
  envelope =>
    dispatch(envelope).then(outcome => {
      conclude(envelope.span, 'accepted')
      return outcome
    })

/** Subscribes to REDIS_CHANNELS, again after each loss of the connection. The start does not wait for Redis. */
export function startPubSub({
  address,
  settings,
  composer,
  dispatch,
  once,
  clock,
  logger,
  stats,
  tracing,
}: PubSubOptions): PubSub {
  const sayRejected = limited<{ readonly channel: string; readonly trace_id?: string } & RejectedMessage>({
    perSecond: REJECTION_LINES_PER_SECOND,
    clock,
    write: fields => logger.warn(fields, 'redis.rejected'),
  })
  const reject = ({ channel, span }: Heard, { reason, code, fault }: RejectedMessage): void => {
    stats.redisMessagesRejected[reason]++
    sayRejected({
      channel: channel.slice(0, MAX_NAME),
      reason,
      ...(code && { code }),
      ...(fault && { fault }),
      ...traceOf(span),
    })
    conclude(span, reason)
  }
  const onFault = (error: unknown, heard: Heard): void => {
    const rejection = rejectionOf(error)
    if (rejection !== undefined) reject(heard, rejection)
    else {
      stats.unhandledErrors++
      const source = `${SOURCE}${heard.channel}`.slice(0, MAX_NAME)
      logger.error({ err: error, source, ...traceOf(heard.span) }, 'redis.fault')
      conclude(heard.span, 'fault')
    }
  }
  /** Key claims of messages that are taken and not yet dispatched. */
  const held = new WeakMap<Envelope, KeyClaim>()
  const dispatchHeld: Dispatch = envelope => {
    const key = held.get(envelope)
    const dispatched = dispatch(envelope)
    if (key === undefined) return dispatched
    dispatched.then(
      () => key.answered(''),
      error => key.failed(isRefusal(error) ? 'free' : 'retry'),
    )
    return dispatched
  }
  const intake = createIntake({
    dispatch: tracing === undefined ? dispatchHeld : concluding(dispatchHeld),
    maxBytes: MAX_BYTES_UNDER_WAY,
    onFault: (error, { notification: { source }, span }) =>
      onFault(error, { channel: source.slice(SOURCE.length), span }),
  })

  /** Takes a message that needs no further look-up. */
  const obey = (heard: Heard, judged: MessageResult, take: Intake['take']): void => {
    if (!judged.ok) reject(heard, judged)
    else if (judged.envelope === undefined) conclude(heard.span, 'replayed')
    else {
      const envelope = { ...judged.envelope, acceptedAt: clock.monotonic(), span: heard.span }
      if (judged.held) held.set(envelope, judged.held)
      if (take(envelope)) return
      judged.held?.failed('free')
      reject(heard, OVERLOADED)
    }
  }

  /** Keeps the place of a message until its template or its key is found. */
  const obeyLater = async (heard: Heard, pending: Pending, fill: Fill): Promise<void> => {
    try {
      obey(heard, await pending.judge(), fill)
    } catch (error) {
      onFault(error, heard)
    } finally {
      // Frees the place of a rejected message; has no effect on a taken one.
      fill(undefined)
    }
  }

  const handle = (name: Buffer, bytes: Buffer): void => {
    stats.redisMessagesReceived++
    const channel = name.toString()
    const arrival = { channel, bytes, now: clock.now(), tenancy: settings.tenantEnabled }
    const verdict = readMessage(arrival, { composer, once })
    const span = tracing?.start('redis.message', {
      kind: 'consumer',
      parent: verdict.parent,
      attributes: { 'messaging.system': 'redis', 'ara.channel': channel },
    })
    const heard = { channel, span }
    const fill = 'judge' in verdict ? intake.reserve(bytes.length) : undefined
    if (!('judge' in verdict)) obey(heard, verdict, intake.take)
    else if (fill === undefined) reject(heard, OVERLOADED)
    else void obeyLater(heard, verdict, fill)
  }

  const [patterns, names] = [
    settings.redisChannels.filter(isPattern),
    settings.redisChannels.filter(entry => !isPattern(entry)),
  ]
  const subscribe = async (client: Redis, heard: () => void): Promise<void> => {
    await checkNoCluster(client, SETTING)
    const hear = (name: Buffer, bytes: Buffer): void => {
      heard()
      handle(name, bytes)
    }
    client.on('messageBuffer', hear)
    client.on('pmessageBuffer', (_, name, bytes) => hear(name, bytes))
    await Promise.all([
      names.length > 0 && client.subscribe(...names),
      patterns.length > 0 && client.psubscribe(...patterns),
    ])
  }

  const link = keepLink({
    open: ({ signal, alive }) => openRedis({ address, setting: SETTING, prepare: subscribe, alive, signal }),
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: createReporter({ address, clock, logger }),
  })

  return {
    get state() {
      return link.state
    },
    stop: () => {
      link[Symbol.dispose]()
      return intake.settled()
    },
  }
}
