import { Connection } from '../hub/connection.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'

export const BINARY = Symbol('binary')
export const TOO_FAST = Symbol('too fast')

/** The runtime closes a WebSocket on which nothing arrives for 960 s; pings make its client answer. */
export const MAX_PING_MS = 300_000

/** What a client sends: text, or what stands for a message that is not even read. */
export type InboundMessage = string | typeof BINARY | typeof TOO_FAST

/** A connection with what its session keeps of it. All moments are monotonic milliseconds. */
export abstract class Peer extends Connection {
  /** It gets `connected` and `token_expiring`: every SSE stream, and a WebSocket that gave `cursor`. */
  readonly optedIn: boolean
  readonly openedAt: number
  /** `connected` was sent, or is not to be: replies and crowd frames flow. */
  greeted = false
  /** The last frame from the client. */
  seenAt: number
  /** Control frames that nobody asked for since the last tick. */
  unaskedFrames = 0
  nextBeatAt = 0
  /** A ping between heartbeats that are far apart. */
  nextPingAt: number
  /** Nobody could say whether its token was revoked: nothing of the log reaches it before somebody does. */
  unchecked = false
  warnedOfExpiry = false
  /** Messages that wait for `connected`, or for the answer to the one before; absent as long as there were none. */
  held: InboundMessage[] | undefined = undefined
  /** A message is being answered. */
  isBusy = false
  heldBytes = 0
  /** When its last bad messages came, oldest first; absent as long as there were none. */
  badAt: number[] | undefined = undefined
  /** The same of messages that came too fast. */
  fastAt: number[] | undefined = undefined
  /** What the limit of its messages keeps: see Speaker. */
  quietAt = 0
  /** What had been taken at the last beat. */
  lastTaken = 0
  stuckSince: number | undefined = undefined

  constructor(principal: Principal, optedIn: boolean, now: number) {
    super(principal)
    this.optedIn = optedIn
    this.openedAt = now
    this.seenAt = now
    this.nextPingAt = now + MAX_PING_MS
  }

  /** Bytes of frames that the client has taken; what is published to it natively may not count. */
  abstract taken(): number
  /** Shows the other side that this one lives, and asks the same of it; a heartbeat message was sent if it is greeted. */
  abstract beat(): void
  /** The same without a heartbeat message. */
  abstract ping(): void
  /** Goes on with what waited for the client to take all, if it has: the runtime may forget to tell. */
  abstract unblock(): void
  /** Says when to come back, then ends. */
  abstract shutdown(frame: Frame): void
}

/** Whole seconds until its token ends, as clients are told. */
export const secondsLeft = ({ principal }: Peer, clock: Pick<Clock, 'now'>): number =>
  Math.max(0, Math.floor((principal.expiresAt - clock.now()) / 1000))

/** What a client does not take ends it: it would have a hole. */
export function tell(peer: Peer, frame: Frame): void {
  if (!peer.hasEnded() && peer.write(frame) === 'refused') peer.cut()
}
