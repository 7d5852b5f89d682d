import { type ReconnectSettings, reconnectPolicyOf } from '../lib/redis/reconnect-policy.ts'
import { keepLink, type LinkEvent, type OpenLinkConnection } from '../lib/redis/reconnecting-link.ts'
import { isReplyError } from '../lib/redis/reply-error.ts'
import type { RedisAddress } from '../lib/redis/url.ts'
import type { Clock } from '../lib/time/clock.ts'
import { busChannel, topicOfBusChannel } from '../notification/bus-channel.ts'
import { type Bus, type BusTopic, newInstance } from './bus.ts'
import { type BusConnection, connectBus } from './connection.ts'
import type { Links } from './links/links.ts'
import { type CountSubscribers, createWays, LEASES, untilKnown } from './links/ways.ts'
import { createPublisher } from './publisher.ts'
import { createSubscriptions } from './subscriptions.ts'

export interface RedisBusOptions {
  readonly address: RedisAddress
  readonly settings: ReconnectSettings
  readonly clock: Pick<Clock, 'monotonic'>
  /** Counts messages published and received, own ones included. */
  readonly messages: Record<'in' | 'out', number>
  /** Called when all joined topics are subscribed over a new connection. Messages before may be lost. */
  readonly onBack: () => void
  readonly onState: (event: LinkEvent) => void
  /** Called when Redis does not let this node end the subscriptions of another one. */
  readonly onEvictRefused: (reason: string) => void
  /** Called with an error of the receiver. */
  readonly onFault: (error: unknown) => void
  /** Sockets to the other workers of this machine; absent without them. */
  readonly links?: Links | undefined
}

const SEPARATOR = '/'

/** Reaches other nodes by Redis Pub/Sub. */
export function redisBus({
  address,
  settings,
  clock,
  messages,
  onBack,
  onState,
  onEvictRefused,
  onFault,
  links,
}: RedisBusOptions): Bus {
  const { db } = address
  const instance = links?.instance ?? newInstance()
  const onPublished = (): void => {
    messages.out++
  }
  const publisher = createPublisher({ clock, onPublished })
  const channelOf = (topic: BusTopic): string => busChannel(db, topic)
  const onLeft = links?.leave
  const subscriptions = createSubscriptions({ channelOf, clock, onLeft })
  let receive = (_: BusTopic, __: string): void => {}
  /** Number of connections so far. */
  let opened = 0
  /** Undefined while the bus is away. */
  let current: BusConnection | undefined

  const deliver = (topic: BusTopic, message: string): void => {
    messages.in++
    try {
      receive(topic, message)
    } catch (error) {
      onFault(error)
    }
  }
  const publishInRedis = (topic: BusTopic, message: string): Promise<number> =>
    publisher.publish(channelOf(topic), message)
  const isJoined = (topic: BusTopic): boolean => subscriptions.of(topic) !== undefined
  const ways =
    links && createWays({ links, clock, isJoined, publishInRedis, deliver, onPublished, onLost: onBack })
  // With the topics of every node in one command: a worker is counted whole, or not at all.
  if (links !== undefined) void subscriptions.join(LEASES)
  const arrive = ways?.arrive ?? deliver

  const onMessage = (channel: string, message: string): void =>
    arrive(topicOfBusChannel(db, channel) as BusTopic, message)

  const open: OpenLinkConnection = async ({ signal, alive }) => {
    const pulse = busChannel(db, `pulse:${instance}:${opened++}`)
    const connection = await connectBus({ address, pulse, onMessage, alive, signal })
    const count: CountSubscribers = async topics => {
      const reply = (await connection.publisher.call(
        'PUBSUB',
        'NUMSUB',
        ...topics.map(channelOf),
      )) as unknown[]
      return topics.map((_, n) => Number(reply[2 * n + 1]))
    }
    const lost = connection.ended.then(reason => {
      current = undefined
      ways?.detach()
      publisher.attach(undefined)
      subscriptions.detach()
      return reason
    })
    const failed = lost.then(reason => Promise.reject(reason))
    failed.catch(() => {})
    try {
      await Promise.race([failed, subscriptions.attach(connection.subscriber, connection.end)])
      await Promise.race([failed, connection.check()])
      await Promise.race([failed, untilKnown(count, links)])
    } catch (error) {
      connection.end(new Error('not ready', { cause: error }))
      await lost
      throw error
    }
    publisher.attach(connection)
    current = connection
    ways?.attach(count)
    return { ended: lost, end: () => connection.end(new Error('stopped')) }
  }

  const link = keepLink({
    open,
    ...reconnectPolicyOf(settings, clock),
    clock,
    onChange: event => {
      onState(event)
      if (event.type === 'connected') onBack()
    },
  })

  const publish: Bus['publish'] = async (topic, message) =>
    ways?.publish(topic, message) ?? publishInRedis(topic, message)

  return {
    kind: 'redis',
    instance,
    isUp: () => current !== undefined,
    listen: given => {
      receive = given
    },
    publish,
    publishToOthers: (topic, message) => {
      const linked = ways?.publishToOthers(topic, message)
      if (linked !== undefined) return linked
      const subscription = subscriptions.of(topic)
      if (subscription === undefined) return publishInRedis(topic, message)
      return publisher.publish(channelOf(topic), message, true).then(nodes =>
        // The only subscriber may have been another node if this one has left the topic meanwhile.
        nodes > 0 || subscriptions.of(topic) === subscription ? nodes : publishInRedis(topic, message),
      )
    },
    join: topic => {
      const here = subscriptions.join(topic)
      const atSiblings = links?.join(topic)
      return atSiblings === undefined ? here : Promise.all([here, atSiblings]).then(() => {})
    },
    leave: subscriptions.leave,
    get subscriber() {
      return current && current.runId + SEPARATOR + current.clientId
    },
    evict: async subscriber => {
      const [runId, id = ''] = subscriber.split(SEPARATOR)
      if (current === undefined || runId !== current.runId || id === current.clientId) return
      try {
        await current.publisher.call('CLIENT', 'KILL', 'ID', id, 'TYPE', 'pubsub')
      } catch (error) {
        if (isReplyError(error)) onEvictRefused(error.message)
      }
    },
    [Symbol.asyncDispose]: async () => {
      link[Symbol.dispose]()
      ways?.[Symbol.dispose]()
      publisher[Symbol.dispose]()
      subscriptions[Symbol.dispose]()
    },
  }
}
