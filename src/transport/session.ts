import type { Interest } from '../dispatch/cluster/interest.ts'
import type { Delivery } from '../dispatch/delivery.ts'
import type { Persist } from '../dispatch/persist.ts'
import type { Receipts } from '../dispatch/receipts.ts'
import type { StartedConnection } from '../dispatch/start.ts'
import type { Hub } from '../hub/hub.ts'
import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import { collectEvery } from '../lib/system/young-garbage.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { ConnectionLimitKind } from '../limit/connections.ts'
import type { Cursor } from '../notification/cursor.ts'
import type { Principal } from '../notification/principal.ts'
import { tenantTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Logger } from '../observe/log.ts'
import { closeOf, type Resume, type Stats } from '../observe/stats.ts'
import type { Conversation } from './conversation.ts'
import { createGreeting } from './greeting.ts'
import type { JoinChannels } from './join-channels.ts'
import { createLimitCheck, type LimitCheckOptions } from './limit-check.ts'
import {
  BINARY,
  type ConnectRequest,
  type InboundMessage,
  type Opening,
  type Peer,
  TOO_FAST,
} from './peer.ts'

/** The life of every connection, WebSocket or SSE: limit, greeting, replay, messages, end. */
export interface Sessions {
  /** Registers the peer, or returns the limit that it would exceed together with connections on other nodes. */
  open(peer: Peer, opening: Opening): ConnectionLimitKind | undefined
  message(peer: Peer, text: string): void
  binary(peer: Peer): void
  /** Notes a ping or an unsolicited pong; too many of them end the connection. */
  seen(peer: Peer): void
  /** Notes that the client has read everything up to the cursor; `handedAt` as in Proof. */
  proved(peer: Peer, proof: { readonly cursor: Cursor; readonly handedAt: number | undefined }): void
  /** Removes the peer from every index. Further calls have no effect. */
  ended(peer: Peer, how: { readonly code: number | 'sse'; readonly slow?: boolean }): void
}

interface SessionOptions extends LimitCheckOptions {
  readonly hub: Hub<Peer>
  /** Absent without a bus. */
  readonly interest: Interest | undefined
  readonly delivery: Pick<Delivery, 'start' | 'replay' | 'ended'>
  readonly receipts: Receipts
  readonly conversation: Conversation
  readonly joinChannels: JoinChannels
  readonly onFault: OnFault
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Tells whether the token was revoked since its first check. */
  readonly isRevoked: (principal: Principal) => boolean | Promise<boolean>
  readonly persist: Persist
  readonly heartbeatSeconds: number
  /** Bound on messages that wait for `connected` or for an asynchronous answer. */
  readonly maxHeldBytes: number
}

/** Size of a held message beside its text, so that empty messages count too. */
const HELD_OVERHEAD_BYTES = 64
/**
 * Connects between collections. What a connect leaves behind would lie between the connections and keep their memory apart:
 * 0.8 KiB each. A collection takes 1 to 3 ms.
 */
const CONNECTS_PER_COLLECTION = 1_000
/** Bound on control frames per tick (250 ms); the message rate does not count them. */
const MAX_UNASKED_FRAMES = 1_000

const resumeOf = ({ reason }: StartedConnection, { cursor }: ConnectRequest): Resume =>
  cursor === undefined ? 'none' : (reason ?? 'recovered')

const weightOf = (message: InboundMessage): number =>
  HELD_OVERHEAD_BYTES + (typeof message === 'string' ? message.length : 0)

export function createSessions(options: SessionOptions): Sessions {
  const { hub, delivery, receipts, conversation, clock, logger, stats, heartbeatSeconds, maxHeldBytes } =
    options

  const greeting = createGreeting(options)
  // The id of a connection is made for its line.
  const isDebugged = logger.isLevelEnabled?.('debug') !== false

  /** Cuts a connection that would wait for ever: the client resumes on a new one. */
  const fail = (peer: Peer, error: unknown): void => {
    options.onFault(error)
    if (!peer.hasEnded()) peer.cut()
  }

  const listen = (peer: Peer): void => {
    peer.greeted = true
    hub.listen(peer)
  }

  const limitOver = createLimitCheck(options)
  const countConnect = collectEvery(CONNECTS_PER_COLLECTION)

  /** Keeps a client's messages in order: later ones wait for an asynchronous answer. */
  const answer = async (peer: Peer, answered: Promise<void>): Promise<void> => {
    peer.isBusy = true
    await answered
    peer.isBusy = false
    release(peer)
  }

  const handle = (peer: Peer, message: InboundMessage): void => {
    const answered = conversation.receive(peer, message)
    if (answered !== undefined) answer(peer, answered).catch(error => fail(peer, error))
  }

  const release = (peer: Peer): void => {
    let handled = 0
    const { held } = peer
    if (held === undefined) return
    for (const message of held.messages) {
      if (peer.isBusy || peer.hasEnded()) break
      handled++
      held.bytes -= weightOf(message)
      handle(peer, message)
    }
    held.messages.splice(0, handled)
  }

  const greet = (
    peer: Peer,
    started: StartedConnection,
    connectRequest: ConnectRequest,
  ): Promise<void> | undefined =>
    greeting.greet(peer, started, connectRequest, () => {
      listen(peer)
      release(peer)
    })

  /** Joins the channels of a client that is not told where it starts. Its messages wait meanwhile. */
  const enterChannels = (peer: Peer, connectRequest: ConnectRequest): void => {
    const entered = greeting.enter(peer, connectRequest)
    if (entered !== undefined) answer(peer, entered).catch(error => fail(peer, error))
  }

  const begin = (peer: Peer, connectRequest: ConnectRequest): Awaitable<void> =>
    whenReady(delivery.start(peer, connectRequest), started => {
      if (started === undefined) return undefined
      if (started.cursor !== undefined) stats.resumes[resumeOf(started, connectRequest)]++
      const greeted = peer.greeted ? undefined : greet(peer, started, connectRequest)
      return whenReady(greeted, () => delivery.replay(peer))
    })

  const hold = (peer: Peer, message: InboundMessage): void => {
    if (peer.hasEnded()) return
    peer.held ??= { messages: [], bytes: 0 }
    peer.held.messages.push(message)
    peer.held.bytes += weightOf(message)
    if (peer.held.bytes > maxHeldBytes) peer.close('abuse')
  }

  const receive = (peer: Peer, message: string | typeof BINARY): void => {
    peer.seenAt = clock.monotonic()
    const admitted = conversation.admits(peer, message) ? message : TOO_FAST
    if (peer.greeted && !peer.isBusy) handle(peer, admitted)
    else hold(peer, admitted)
  }

  /** Waits for the store during an outage. */
  const checkLater = async (peer: Peer, asked: Promise<boolean>): Promise<void> => {
    let first: Promise<boolean> | undefined = asked
    const revoked = await options.persist(peer, () => {
      const answer = first ?? options.isRevoked(peer.principal)
      first = undefined
      return answer
    })
    if (revoked && !peer.hasEnded()) peer.close('disconnected')
  }

  /** Checks for a disconnect that happened during admission. Later ones find the registered peer. */
  const enter = (peer: Peer, { connectRequest, unchecked }: Opening): Awaitable<void> => {
    const revoked = options.isRevoked(peer.principal)
    if (revoked === true) peer.close('disconnected')
    const checked = revoked instanceof Promise ? checkLater(peer, revoked) : undefined
    // The log is read after messages reach this node: none falls in between.
    const joined = options.interest?.join([peer.owner, tenantTopic(peer.principal.tenant)])
    const isChecked = unchecked ? checked : undefined
    const start = () => (peer.hasEnded() ? undefined : begin(peer, connectRequest))
    if (joined === undefined && isChecked === undefined) return start()
    return Promise.all([joined, isChecked]).then(start)
  }

  return {
    open: (peer, opening) => {
      const { tenant, user } = peer.principal
      const over = limitOver(peer, opening.elsewhere)
      if (over !== undefined) {
        stats.connectionsRefused[over]++
        if (peer.transport === 'ws') stats.closes[1013]++
        return over
      }
      // Spreads heartbeats of clients that connected at the same time.
      peer.nextBeatAt = peer.openedAt + Math.random() * heartbeatSeconds * 1000
      hub.open(peer)
      countConnect()
      stats.tally.of(tenant).opened++
      stats.connectionsPerUser.observe(hub.members(peer.owner).size)
      if (!peer.optedIn) {
        listen(peer)
        enterChannels(peer, opening.connectRequest)
      }
      if (isDebugged)
        logger.debug({ connection_id: peer.id, tenant, user, transport: peer.transport }, 'connection.opened')
      try {
        const entered = enter(peer, opening)
        if (entered instanceof Promise) entered.catch(error => fail(peer, error))
      } catch (error) {
        fail(peer, error)
      }
      return undefined
    },
    message: receive,
    binary: peer => receive(peer, BINARY),
    seen: peer => {
      if (peer.hasEnded()) return
      peer.seenAt = clock.monotonic()
      if (++peer.unaskedFrames > MAX_UNASKED_FRAMES) peer.close('abuse')
    },
    proved: (peer, { cursor, handedAt }) => {
      peer.seenAt = clock.monotonic()
      receipts.proved(peer, cursor)
      if (handedAt !== undefined) stats.receiptSeconds.observe((peer.seenAt - handedAt) / 1000)
    },
    ended: (peer, { code, slow }) => {
      if (!hub.has(peer)) return
      peer.phase = 'ended'
      stats.closes[closeOf(code)]++
      if (slow) stats.slowConsumers++
      hub.end(peer)
      delivery.ended(peer)
      const { user, tenant } = peer.principal
      const seconds = (clock.monotonic() - peer.openedAt) / 1000
      stats.connectionSeconds.observe(seconds)
      if (!slow && !isDebugged) return
      const fields = { connection_id: peer.id, tenant, user, code, seconds: Math.round(seconds) }
      if (slow) logger.warn(fields, 'connection.slow_consumer')
      else logger.debug(fields, 'connection.closed')
    },
  }
}
