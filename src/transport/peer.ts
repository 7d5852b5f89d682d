import type { OpenConnections } from '../dispatch/reach.ts'
import type { ResumeRequest } from '../dispatch/start.ts'
import { Connection } from '../hub/connection.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'

export const BINARY = Symbol('binary')
export const TOO_FAST = Symbol('too fast')

/** Longest time between pings: the runtime closes a WebSocket after 960 s without input. */
export const MAX_PING_MS = 300_000

/** The request of a connection: where it resumes, and the channels of its address. */
export interface ConnectRequest extends ResumeRequest {
  readonly channels?: readonly string[]
}

/** The admitted request of a new connection. */
export interface Opening {
  readonly connectRequest: ConnectRequest
  /** Connections on other nodes. */
  readonly elsewhere: OpenConnections
  /** The store could not tell whether the token was revoked: the replay waits for that. */
  readonly unchecked: boolean
}

/** Text of a client, or a symbol for a message that is not read. */
export type InboundMessage = string | typeof BINARY | typeof TOO_FAST

/** A connection with the state of its session. All times are monotonic milliseconds. */
export abstract class Peer extends Connection {
  /** Receives `connected` and `token_expiring`: every SSE stream, and a WebSocket with `cursor`. */
  readonly optedIn: boolean
  readonly openedAt: number
  /** `connected` was sent or is not needed: replies and crowd frames may follow. */
  greeted = false
  /** Time of the last frame from the client. */
  seenAt: number
  /** Unsolicited control frames since the last tick. */
  unaskedFrames = 0
  nextBeatAt = 0
  /** Time of the next ping between heartbeats that are far apart. */
  nextPingAt: number
  warnedOfExpiry = false
  /** Messages that wait for `connected` or for the previous answer; undefined until the first. */
  held: { readonly messages: InboundMessage[]; bytes: number } | undefined = undefined
  /** True while a message is being answered. */
  isBusy = false
  /** Times of the last bad messages and of those over the rate, oldest first; undefined until the first. */
  offences: { readonly bad: number[]; readonly fast: number[] } | undefined = undefined
  /** State of the message rate limit: see MessageBucket. */
  quietAt = 0
  /** Value of `taken()` at the last heartbeat. */
  lastTaken = 0
  stuckSince: number | undefined = undefined

  constructor(principal: Principal, optedIn: boolean, now: number) {
    super(principal)
    this.optedIn = optedIn
    this.openedAt = now
    this.seenAt = now
    this.nextPingAt = now + MAX_PING_MS
  }

  /** Bytes of frames that the client has taken; natively published frames may be left out. */
  abstract taken(): number
  /** Shows that the server is alive and makes the client answer. A greeted client also received `heartbeat`. */
  abstract beat(): void
  /** Like `beat`, without a `heartbeat` message before. */
  abstract ping(): void
  /** Resumes waiting work if nothing is buffered: the runtime may fail to call `drain`. */
  abstract unblock(): void
  /** Sends the `shutdown` frame, then closes. */
  abstract shutdown(frame: Frame): void
}

/** Whole seconds until the token expires. */
export const secondsLeft = ({ principal }: Peer, clock: Pick<Clock, 'now'>): number =>
  Math.max(0, Math.floor((principal.expiresAt - clock.now()) / 1000))

/** Cuts a client that refuses a frame: it would have a gap. */
export function tell(peer: Peer, frame: Frame): void {
  if (!peer.hasEnded() && peer.write(frame) === 'refused') peer.cut()
}
