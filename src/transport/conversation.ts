import { type ChannelAccess, mayHear } from '../auth/channel-access.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import type { Limits } from '../limit/limits.ts'
import { type ClientMessage, parseMessage } from '../notification/message.ts'
import { isChannel } from '../notification/names.ts'
import { channelTopic } from '../notification/topic.ts'
import type { Stats } from '../observe/stats.ts'
import { errorFrame, PONG, subscribed, unsubscribed } from './outbound.ts'
import { BINARY, type Peer, type Said, TOO_FAST, tell } from './peer.ts'

/** What a client says and is answered. */
export interface Conversation {
  /** Whether one more message is within the client's rate; asked when it comes, for what is `said` may wait. */
  admits(peer: Peer): boolean
  said(peer: Peer, message: Said): void
}

interface ConversationOptions {
  readonly hub: Hub
  readonly clock: Clock
  readonly access: ChannelAccess
  readonly limits: Pick<Limits, 'of' | 'messages'>
  readonly stats: Stats
}

const MAX_BAD = 100
const MAX_FAST = 3
const WINDOW_MS = 60_000

/** Adds a moment to the last `most` of them; true when that many lie within the window. */
function isTooOften(moments: number[], now: number, most: number): boolean {
  moments.push(now)
  if (moments.length < most) return false
  return now - (moments.shift() ?? now) <= WINDOW_MS
}

export function createConversation({ hub, clock, access, limits, stats }: ConversationOptions): Conversation {
  /** Answers a bad message; too many within a minute end the connection. */
  const refuse = (peer: Peer, code: 'INVALID_MESSAGE' | 'UNSUPPORTED_FORMAT', message: string): void => {
    tell(peer, errorFrame(code, message))
    peer.badAt ??= []
    if (isTooOften(peer.badAt, clock.monotonic(), MAX_BAD)) peer.close('abuse')
  }

  const slowDown = (peer: Peer): void => {
    stats.messagesLimited++
    tell(peer, errorFrame('RATE_LIMITED', 'too many messages: this one was not read'))
    peer.fastAt ??= []
    if (isTooOften(peer.fastAt, clock.monotonic(), MAX_FAST)) peer.close('messageRate')
  }

  const faultOf = (peer: Peer, channel: string): string | undefined => {
    if (!isChannel(channel)) return 'invalid name'
    if (peer.rooms.has(channelTopic(peer.principal.tenant, channel))) return undefined
    if (!mayHear(peer.principal, channel, access)) return 'not allowed'
    const { subscriptions: most } = limits.of(peer.principal.tenant)
    // Rooms beside its user's and its tenant's are channels.
    return most > 0 && peer.rooms.size - 2 >= most ? `limit of ${most} subscriptions reached` : undefined
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
    admits: peer => limits.messages === undefined || limits.messages(peer),
    said: (peer, said) => {
      if (peer.hasEnded()) return
      if (said === TOO_FAST) return slowDown(peer)
      if (said === BINARY) return refuse(peer, 'UNSUPPORTED_FORMAT', 'expected text, not a binary frame')
      const message = parseMessage(said)
      if (message === undefined) refuse(peer, 'INVALID_MESSAGE', 'expected a JSON message of a known type')
      else obey(peer, message)
    },
  }
}
