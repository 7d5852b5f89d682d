import type { Redis } from 'ioredis'
import { openRedis } from '../lib/redis/redis.ts'
import { isReplyError } from '../lib/redis/reply-error.ts'
import { checkedInfo } from '../lib/redis/server-info.ts'
import type { RedisAddress } from '../lib/redis/url.ts'
import { type PublishingConnection, publishAll } from './publisher.ts'

/** A connection that subscribes and one that publishes. They end together. */
export interface BusConnection extends PublishingConnection {
  readonly subscriber: Redis
  /** Random name of the Redis process behind them: client ids of two processes may be equal. */
  readonly runId: string
  /** Client id of the subscriber. */
  readonly clientId: string
  /** Resolves with the reason of the end. */
  readonly ended: Promise<Error>
  /** Resolves when Redis delivers to this node; rejects with the reason why it does not. */
  check(): Promise<void>
  end(reason: Error): void
}

interface ConnectionOptions {
  readonly address: RedisAddress
  /** Channel of this connection only. Publishing there proves each second that Redis carries messages. */
  readonly pulse: string
  readonly onMessage: (channel: string, message: string) => void
  readonly alive: () => void
  readonly signal: AbortSignal
}

const SETTING = 'BUS_URL'

/** Returns why messages do not reach this node, or undefined. */
async function faultOf(connection: PublishingConnection): Promise<Error | undefined> {
  try {
    const message = { channel: connection.pulse, message: '', skipsOwn: false }
    const [count] = await publishAll(connection, [message])
    if (count === 1) return undefined
    return new Error(typeof count === 'string' ? count : 'Redis does not know the subscriptions of this node')
  } catch (error) {
    if (isReplyError(error)) return error
    throw error
  }
}

/** Opens both connections, or none. */
export async function connectBus({
  address,
  pulse,
  onMessage,
  alive,
  signal: stopped,
}: ConnectionOptions): Promise<BusConnection> {
  const ending = new AbortController()
  const broken = Promise.withResolvers<Error>()
  const { signal } = ending
  stopped.addEventListener('abort', () => ending.abort(), { signal })
  const common = { address, setting: SETTING, alive, signal }

  const openSubscriber = async () => {
    let opened: { readonly client: Redis; readonly id: string } | undefined
    const prepare = async (client: Redis, onAnswer: () => void): Promise<void> => {
      const id = String(await client.client('ID'))
      client.on('messageBuffer', (name, message) => {
        onAnswer()
        const channel = name.toString()
        if (channel !== pulse) onMessage(channel, message.toString())
      })
      await client.subscribe(pulse)
      opened = { client, id }
    }
    const { ended } = await openRedis({ ...common, prepare })
    return { opened, ended }
  }

  const openPublisher = async () => {
    let opened: { readonly client: Redis; readonly runId: string } | undefined
    const prepare = async (client: Redis): Promise<void> => {
      const info = await checkedInfo(client, SETTING)
      opened = { client, runId: info.get('run_id') ?? '' }
    }
    const { ended } = await openRedis({ ...common, prepare, ask: publisher => faultOf({ publisher, pulse }) })
    return { opened, ended }
  }

  try {
    const [subscriber, publisher] = await Promise.all([openSubscriber(), openPublisher()])
    const ended = Promise.race([subscriber.ended, publisher.ended, broken.promise]).finally(() =>
      ending.abort(),
    )
    if (subscriber.opened === undefined || publisher.opened === undefined)
      throw new Error('the connection was not prepared')
    const { client, runId } = publisher.opened
    return {
      subscriber: subscriber.opened.client,
      publisher: client,
      pulse,
      runId,
      clientId: subscriber.opened.id,
      ended,
      check: async () => {
        const fault = await faultOf({ publisher: client, pulse })
        if (fault !== undefined) throw fault
      },
      end: broken.resolve,
    }
  } catch (error) {
    ending.abort()
    throw error
  }
}
