import { type ChannelAccess, mayHear } from '../auth/channel-access.ts'
import type { Acknowledgement } from '../dispatch/acknowledgement.ts'
import type { Persist } from '../dispatch/persist.ts'
import type { Hub } from '../hub/hub.ts'
import { whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Limits } from '../limit/limits.ts'
import { parseCursor } from '../notification/cursor.ts'
import { channelTopic, type Topic } from '../notification/topic.ts'
import type { Stats } from '../observe/stats.ts'
import { type AckPayload, type ClientMessage, parseMessage } from '../protocol/client-messages.ts'
import { isChannel } from '../protocol/names.ts'
import type { JoinChannels } from './join-channels.ts'
import { ackedId, ackedThrough, errorFrame, PONG, subscribed, unsubscribed } from './outbound.ts'
import { type BINARY, type InboundMessage, type Peer, TOO_FAST, tell } from './peer.ts'
import type { Renew } from './renewal.ts'

/** Answers the messages of clients. */
export interface Conversation {
  /** Tells whether a message is within the rate. Call it on arrival: `receive` may come later. */
  admits(peer: Peer, message: string | typeof BINARY): boolean
  /** Returns a promise for an asynchronous answer: later messages must wait for it. */
  receive(peer: Peer, message: InboundMessage): Promise<void> | undefined
}

interface ConversationOptions {
  readonly hub: Hub
  readonly clock: Clock
  readonly access: ChannelAccess
  readonly limits: Pick<Limits, 'of' | 'messages'>
  /** Absent when acknowledgement is off. */
  readonly acknowledgement: Acknowledgement | undefined
  readonly renew: Renew
  readonly joinChannels: JoinChannels
  readonly persist: Persist
  readonly stats: Stats
}

const MAX_BAD = 100
const MAX_FAST = 3
const WINDOW_MS = 60_000
/** Channels that one error names. */
const MAX_NAMED = 20
/** Characters of a channel name in an error. */
const MAX_SHOWN = 256

const INVALID_ID = errorFrame('INVALID_ACK', 'no notification that you got has this id')
const INVALID_CURSOR = errorFrame('INVALID_ACK', 'no place in your log')

/** Shortens names in errors. Valid names are shorter than MAX_SHOWN. */
const shortened = (name: string): string => (name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name)

const faultText = (faults: readonly string[]): string => {
  const more = faults.length - MAX_NAMED
  const named = faults.slice(0, MAX_NAMED)
  return (more > 0 ? [...named, `${more} more`] : named).join('; ')
}

/** Adds a moment; true when `most` moments lie within the window. */
function isTooOften(moments: number[], now: number, most: number): boolean {
  moments.push(now)
  if (moments.length < most) return false
  return now - (moments.shift() ?? now) <= WINDOW_MS
}

/** Metric label of each message type. */
const KINDS = {
  Subscribe: 'subscribe',
  Unsubscribe: 'unsubscribe',
  Ping: 'ping',
  Ack: 'ack',
  Auth: 'auth',
} as const satisfies Record<ClientMessage['type'], keyof Stats['messagesReceived']>

export function createConversation({
  hub,
  clock,
  access,
  limits,
  acknowledgement,
  renew,
  joinChannels,
  persist,
  stats,
}: ConversationOptions): Conversation {
  /** Answers a bad message; MAX_BAD of them within a minute end the connection. */
  const refuse = (peer: Peer, code: 'INVALID_MESSAGE' | 'UNSUPPORTED_FORMAT', message: string): void => {
    tell(peer, errorFrame(code, message))
    peer.offences ??= { bad: [], fast: [] }
    if (isTooOften(peer.offences.bad, clock.monotonic(), MAX_BAD)) peer.close('abuse')
  }

  const slowDown = (peer: Peer): void => {
    stats.messagesLimited++
    tell(peer, errorFrame('RATE_LIMITED', 'too many messages: this one was not read'))
    peer.offences ??= { bad: [], fast: [] }
    if (isTooOften(peer.offences.fast, clock.monotonic(), MAX_FAST)) peer.close('messageRate')
  }

  /** `more` is the number of channels that the same message adds before this one. */
  const faultOf = (peer: Peer, channel: string, more: number): string | undefined => {
    if (!isChannel(channel)) return 'invalid name'
    if (hub.isIn(peer, channelTopic(peer.principal.tenant, channel))) return undefined
    if (!mayHear(peer.principal, channel, access)) return 'not allowed'
    const { subscriptions: most } = limits.of(peer.principal.tenant)
    const { size = 0 } = peer.channels ?? {}
    return most > 0 && size + more >= most ? `limit of ${most} subscriptions reached` : undefined
  }

  const subscribe = (peer: Peer, channels: readonly string[]): Promise<void> | undefined => {
    const accepted: string[] = []
    const added: Topic[] = []
    const faults: string[] = []
    for (const channel of new Set(channels)) {
      const fault = faultOf(peer, channel, added.length)
      if (fault !== undefined) {
        faults.push(`${shortened(channel)}: ${fault}`)
        continue
      }
      const topic = channelTopic(peer.principal.tenant, channel)
      if (!hub.isIn(peer, topic)) added.push(topic)
      accepted.push(channel)
    }
    return joinChannels(peer, added, () => {
      if (accepted.length > 0) tell(peer, subscribed(accepted))
      if (faults.length > 0) tell(peer, errorFrame('SUBSCRIPTION_ERROR', faultText(faults)))
    })
  }

  const unsubscribe = (peer: Peer, channels: readonly string[]): void => {
    for (const channel of channels) hub.leave(peer, channelTopic(peer.principal.tenant, channel))
    if (channels.length > 0) tell(peer, unsubscribed(channels))
  }

  const ackOne = (peer: Peer, id: string, by: Acknowledgement): Promise<void> | undefined => {
    const answered = whenReady(
      persist(peer, () => by.ack(peer.owner, [id])),
      found => {
        if (found === undefined) return
        const [acked] = found
        tell(peer, acked === undefined ? INVALID_ID : ackedId(id, acked.late))
      },
    )
    return answered instanceof Promise ? answered : undefined
  }

  const ackThrough = async (peer: Peer, text: string, by: Acknowledgement): Promise<void> => {
    const cursor = parseCursor(text)
    const count = cursor && (await persist(peer, () => by.ackThrough(peer.owner, cursor)))
    if (!peer.hasEnded()) tell(peer, count === undefined ? INVALID_CURSOR : ackedThrough(text))
  }

  /** Ignores acknowledgements when they are off. */
  const acknowledge = (peer: Peer, payload: AckPayload): Promise<void> | undefined => {
    if (acknowledgement === undefined) return undefined
    return 'cursor' in payload
      ? ackThrough(peer, payload.cursor, acknowledgement)
      : ackOne(peer, payload.notification_id, acknowledgement)
  }

  const handle = (peer: Peer, message: ClientMessage): Promise<void> | undefined => {
    stats.messagesReceived[KINDS[message.type]]++
    switch (message.type) {
      case 'Subscribe':
        return subscribe(peer, message.payload.channels)
      case 'Unsubscribe':
        unsubscribe(peer, message.payload.channels)
        return undefined
      case 'Ping':
        tell(peer, PONG)
        return undefined
      case 'Auth':
        return renew(peer, message.payload.token)
      case 'Ack':
        return acknowledge(peer, message.payload)
    }
  }

  const judge = (peer: Peer, inbound: InboundMessage): Promise<void> | undefined => {
    if (typeof inbound === 'string') {
      const { message, fault } = parseMessage(inbound)
      if (message !== undefined) return handle(peer, message)
      refuse(peer, 'INVALID_MESSAGE', fault)
    } else if (inbound === TOO_FAST) slowDown(peer)
    else refuse(peer, 'UNSUPPORTED_FORMAT', 'messages must be text frames (got a binary frame)')
    return undefined
  }

  return {
    admits: (peer, message) =>
      limits.messages === undefined ||
      limits.messages(peer, typeof message === 'string' ? message.length : 0),
    receive: (peer, inbound) => (peer.hasEnded() ? undefined : judge(peer, inbound)),
  }
}
