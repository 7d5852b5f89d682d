import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import type { Topic } from '../notification/topic.ts'
import type { CloseReason } from '../protocol/close-codes.ts'

/** `buffered`: taken, but the client is behind; `refused`: not taken, nothing of it will arrive. */
export type WriteResult = 'sent' | 'buffered' | 'refused'

/** `starting` until the place it starts from is known; `replaying` while it reads the log; `live` when it has nothing to read. */
export type Phase = 'starting' | 'replaying' | 'live' | 'ended'

/** One open WebSocket or SSE stream. A class, since there are a hundred thousand of them. */
export abstract class Connection {
  readonly id: string = crypto.randomUUID()
  /** Of the same user and tenant for as long as it lives; the rest changes when the client presents another token. */
  principal: Principal
  abstract readonly transport: 'ws' | 'sse'
  phase: Phase = 'starting'
  /** The life of the log that `position` counts in. */
  epoch: Epoch = ''
  /** The last seq written, or known to be passed over. */
  position = 0
  /** The furthest place heard of while not live. */
  latest: Cursor | undefined = undefined
  /** A place in yet another life was heard of: what a read in flight answers may be out of date. */
  stale = false
  /** What overflow or age had removed when the client was told where it starts; undefined for clients that were not told. */
  toldRemoved: number | undefined = undefined
  /** What has been acknowledged is passed over: a WebSocket without a cursor, with acknowledgement on. */
  unsettledOnly = false
  /** Proved to be read by the client, not yet told to the log. */
  confirmed: Cursor | undefined = undefined
  /** Channels it is in, kept by the hub; absent as long as there were none. */
  channels: Set<Topic> | undefined = undefined

  constructor(principal: Principal) {
    this.principal = principal
  }

  /** A function, so that it is asked anew after each await. */
  hasEnded(): boolean {
    return this.phase === 'ended'
  }

  /** Takes the whole frame or nothing. A connection that refuses is to be cut. */
  abstract write(frame: Frame): WriteResult
  /** Writes what has a place in the user's log and, unless it is refused, asks for its receipt. */
  writeAndAsk(frame: Frame, cursor: Cursor): WriteResult {
    const written = this.write(frame)
    if (written !== 'refused') this.ask(cursor)
    return written
  }

  /** Runs `writes` so that they leave together. */
  abstract batch(writes: () => void): void
  /** Bytes accepted that the client has not taken. */
  abstract buffered(): number
  /** Asks the client to prove that it has read everything up to here. */
  abstract ask(cursor: Cursor): void
  /** Resolves when the client has taken what was buffered, or the connection has ended. */
  abstract drained(): Promise<void>
  /** Ends it as the client expects: close frame with code, or end of stream. `text` of at most 123 bytes says more than the reason. */
  abstract close(reason: CloseReason, text?: string): void
  /** Ends it at once: it does not read. */
  abstract cut(): void
  /** From now on what is published natively under this name reaches the socket; false when the transport has no such thing. */
  abstract listen(name: string): boolean
  abstract unlisten(name: string): void
}
