import type { Redis } from 'ioredis'
import type { Config } from '../config/config.ts'
import { isPattern } from '../lib/redis/glob.ts'
import { type InOneGo, takeMessages } from '../lib/redis/messages.ts'
import { type ReconnectSettings, reconnectPolicyOf } from '../lib/redis/reconnect-policy.ts'
import { keepLink, type LinkState, type OpenLinkConnection } from '../lib/redis/reconnecting-link.ts'
import { openRedis } from '../lib/redis/redis.ts'
import { checkNoCluster } from '../lib/redis/server-info.ts'
import type { RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Span } from '../lib/trace-context.ts'
import type { Handler, IncomingMessage, MessageOutcome } from './handler.ts'
import { createSharing, type SharingOptions } from './lease/share.ts'
import type { LinkReporter } from './link-lines.ts'
import type { Outcomes } from './outcomes.ts'

/** Receives messages from Redis and dispatches them. */
export interface Trigger {
  readonly state: LinkState
  /** Stops receiving at once. Resolves when all received messages are dispatched. */
  stop(): Promise<void>
}

interface PubSubOptions {
  readonly address: RedisAddress
  readonly settings: Pick<Config, 'redisChannels' | keyof ReconnectSettings>
  readonly handler: Handler
  readonly inOneGo: InOneGo
  readonly outcomes: Pick<Outcomes, 'rejected' | 'fault'>
  readonly onReceived: () => void
  readonly reporter: LinkReporter
  /** Set if other nodes receive the same messages. */
  readonly sharing?: SharingOptions | undefined
  readonly clock: Clock
}

const SETTING = 'REDIS_URL'

/** A class, since closures for each message would cost more. */
class PubSubMessage implements IncomingMessage {
  readonly name: string
  readonly bytes: Uint8Array
  readonly now: number
  readonly #outcomes: PubSubOptions['outcomes']

  constructor(name: string, bytes: Uint8Array, now: number, outcomes: PubSubOptions['outcomes']) {
    this.name = name
    this.bytes = bytes
    this.now = now
    this.#outcomes = outcomes
  }

  get span(): IncomingMessage['span'] {
    const attributes = { 'messaging.system': 'redis', 'ara.channel': this.name }
    return { name: 'redis.message', attributes }
  }

  done(outcome: MessageOutcome, span: Span | undefined): void {
    if (outcome.type === 'rejected') this.#outcomes.rejected({ channel: this.name }, outcome.rejection, span)
    else if (outcome.type === 'fault') this.#outcomes.fault(this.name, outcome.error, span)
  }
}

/** Subscribes to REDIS_CHANNELS, again after each loss of the connection. The start does not wait for Redis. */
export function startPubSub({
  address,
  settings,
  handler,
  inOneGo,
  outcomes,
  onReceived,
  reporter,
  sharing,
  clock,
}: PubSubOptions): Trigger {
  const handle = (name: Buffer, bytes: Buffer): void => {
    onReceived()
    handler.handle(new PubSubMessage(name.toString(), bytes, clock.now(), outcomes))
  }

  /** The subscribed connection. */
  let current: Redis | undefined
  const shared =
    sharing &&
    createSharing(sharing, {
      handle,
      onLost: name => outcomes.rejected({ channel: name.toString() }, { reason: 'store' }),
      fence: () => current?.ping() ?? Promise.reject(new Error('not subscribed')),
    })
  const take = shared?.receive ?? handle

  const [patterns, names] = [
    settings.redisChannels.filter(isPattern),
    settings.redisChannels.filter(entry => !isPattern(entry)),
  ]
  const subscribe = async (client: Redis, onAnswer: () => void): Promise<void> => {
    await checkNoCluster(client, SETTING)
    const receive = (name: Buffer, bytes: Buffer): void => {
      onAnswer()
      take(name, bytes)
    }
    takeMessages(client, inOneGo)
    client.on('messageBuffer', receive)
    await Promise.all([
      names.length > 0 && client.subscribe(...names),
      patterns.length > 0 && client.psubscribe(...patterns),
    ])
    current = client
  }

  const open: OpenLinkConnection = async options => {
    const line = await openRedis({ address, setting: SETTING, prepare: subscribe, ...options })
    shared?.subscribed()
    void line.ended.then(() => shared?.unsubscribed())
    return line
  }

  const link = keepLink({
    open,
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: reporter({}),
  })

  return {
    get state() {
      return link.state
    },
    stop: async () => {
      link[Symbol.dispose]()
      await Promise.all([handler.settled(), shared?.end()])
    },
  }
}
