import { type ChannelAccess, mayHear } from '../auth/channel-access.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import { type ClientMessage, parseMessage } from '../notification/message.ts'
import { isChannel } from '../notification/names.ts'
import { channelTopic } from '../notification/topic.ts'
import { errorFrame, PONG, subscribed, unsubscribed } from './outbound.ts'
import { type Peer, tell } from './peer.ts'

/** What a client says and is answered. */
export interface Conversation {
  message(peer: Peer, text: string): void
  binary(peer: Peer): void
}

interface ConversationOptions {
  readonly hub: Hub
  readonly clock: Clock
  readonly access: ChannelAccess
  /** Channels one connection may hold; 0 = no limit. */
  readonly maxSubscriptions: number
}

const MAX_BAD = 100
const BAD_WINDOW_MS = 60_000

export function createConversation({
  hub,
  clock,
  access,
  maxSubscriptions,
}: ConversationOptions): Conversation {
  /** Answers a bad message; too many within a minute end the connection. */
  const refuse = (peer: Peer, code: 'INVALID_MESSAGE' | 'UNSUPPORTED_FORMAT', message: string): void => {
    tell(peer, errorFrame(code, message))
    const now = clock.monotonic()
    peer.badAt ??= []
    peer.badAt.push(now)
    if (peer.badAt.length < MAX_BAD) return
    const first = peer.badAt.shift() ?? now
    if (now - first <= BAD_WINDOW_MS) peer.close('abuse')
  }

  // Rooms beside its user's and its tenant's are channels.
  const isFull = (peer: Peer): boolean => maxSubscriptions > 0 && peer.rooms.size - 2 >= maxSubscriptions

  const faultOf = (peer: Peer, channel: string): string | undefined => {
    if (!isChannel(channel)) return 'invalid name'
    if (peer.rooms.has(channelTopic(peer.principal.tenant, channel))) return undefined
    if (!mayHear(peer.principal, channel, access)) return 'not allowed'
    return isFull(peer) ? `limit of ${maxSubscriptions} subscriptions reached` : undefined
  }

  const subscribe = (peer: Peer, channels: readonly string[]): void => {
    const accepted: string[] = []
    const faults: string[] = []
    for (const channel of new Set(channels)) {
      const fault = faultOf(peer, channel)
      if (fault !== undefined) {
        faults.push(`${channel}: ${fault}`)
        continue
      }
      hub.join(peer, channelTopic(peer.principal.tenant, channel))
      accepted.push(channel)
    }
    if (accepted.length > 0) tell(peer, subscribed(accepted))
    if (faults.length > 0) tell(peer, errorFrame('SUBSCRIPTION_ERROR', faults.join('; ')))
  }

  const unsubscribe = (peer: Peer, channels: readonly string[]): void => {
    for (const channel of channels) hub.leave(peer, channelTopic(peer.principal.tenant, channel))
    if (channels.length > 0) tell(peer, unsubscribed(channels))
  }

  const obey = (peer: Peer, message: ClientMessage): void => {
    switch (message.type) {
      case 'Subscribe':
        subscribe(peer, message.payload.channels)
        break
      case 'Unsubscribe':
        unsubscribe(peer, message.payload.channels)
        break
      case 'Ping':
        tell(peer, PONG)
        break
      case 'Ack':
        // Acknowledgement is off: a well-formed one gets no answer.
        break
    }
  }

  return {
    message: (peer, text) => {
      if (peer.hasEnded()) return
      const message = parseMessage(text)
      if (message === undefined) refuse(peer, 'INVALID_MESSAGE', 'expected a JSON message of a known type')
      else obey(peer, message)
    },
    binary: peer => {
      if (!peer.hasEnded()) refuse(peer, 'UNSUPPORTED_FORMAT', 'expected text, not a binary frame')
    },
  }
}
