import type { StartedConnection } from '../dispatch/start.ts'
import type { Clock } from '../lib/time/clock.ts'
import { channelTopic, type Topic } from '../notification/topic.ts'
import type { JoinChannels } from './join-channels.ts'
import { connected, subscribed } from './outbound.ts'
import { type ConnectRequest, type Peer, secondsLeft, tell } from './peer.ts'

/** The first messages of a connection. Each returns a promise if the bus must be asked first. */
export interface Greeting {
  /** Tells where the connection starts and its channels; calls `then` in the same turn. */
  greet(
    peer: Peer,
    started: StartedConnection,
    connectRequest: ConnectRequest,
    then: () => void,
  ): Promise<void> | undefined
  /** Joins and tells the channels alone. */
  enter(peer: Peer, connectRequest: ConnectRequest): Promise<void> | undefined
}

interface GreetingOptions {
  readonly joinChannels: JoinChannels
  readonly clock: Clock
  readonly heartbeatSeconds: number
}

const topicsOf = ({ principal }: Peer, { channels = [] }: ConnectRequest): readonly Topic[] =>
  channels.map(channel => channelTopic(principal.tenant, channel))

/** A stream reads its channels in `connected`. */
function tellChannels(peer: Peer, { channels = [] }: ConnectRequest): void {
  if (peer.transport === 'ws' && channels.length > 0) tell(peer, subscribed(channels))
}

export function createGreeting({ joinChannels, clock, heartbeatSeconds }: GreetingOptions): Greeting {
  const tellStart = (peer: Peer, started: StartedConnection, { channels }: ConnectRequest): void => {
    const { cursor, recovered, reason, replayed } = started
    const greeting = connected({
      connectionId: peer.id,
      userId: peer.principal.user,
      cursor,
      recovered,
      reason,
      replayed,
      channels: peer.transport === 'sse' ? channels : undefined,
      expiresIn: secondsLeft(peer, clock),
      heartbeatSeconds,
    })
    tell(peer, greeting)
  }

  return {
    greet: (peer, started, connectRequest, then) =>
      joinChannels(peer, topicsOf(peer, connectRequest), () => {
        tellStart(peer, started, connectRequest)
        tellChannels(peer, connectRequest)
        then()
      }),
    enter: (peer, connectRequest) =>
      joinChannels(peer, topicsOf(peer, connectRequest), () => tellChannels(peer, connectRequest)),
  }
}
