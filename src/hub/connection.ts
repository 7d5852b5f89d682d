import type { Cursor, Epoch } from '../notification/cursor.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { CloseReason } from '../protocol/close-codes.ts'

/** Result of a write. `buffered`: accepted, but the client is behind; `refused`: no byte will arrive. */
export type WriteResult = 'sent' | 'buffered' | 'refused'

/** `starting` until its start position is known, `replaying` while it reads the log, then `live`. */
export type Phase = 'starting' | 'replaying' | 'live' | 'ended'

/** An open WebSocket or SSE stream. A class, since a node has a hundred thousand. */
export abstract class Connection {
  #id: string | undefined
  /** Keeps its user and tenant for life; a new token changes the rest. */
  principal: Principal
  /** Topic of its user. */
  readonly owner: Topic
  abstract readonly transport: 'ws' | 'sse'
  phase: Phase = 'starting'
  /** Epoch of the log in which `position` counts. */
  epoch: Epoch = ''
  /** Last seq that was written or skipped. */
  position = 0
  /** Highest offered cursor while not live. */
  latest: Cursor | undefined = undefined
  /** An offer of a third epoch arrived: a running read may be out of date. */
  stale = false
  /** `removedThrough` at the start of a client that resumes by cursor; undefined for others. */
  toldRemoved: number | undefined = undefined
  /** Skips acknowledged entries: a WebSocket without a cursor, with acknowledgement on. */
  unsettledOnly = false
  /** Last cursor proved to be read, but not yet recorded in the log. */
  confirmed: Cursor | undefined = undefined
  /** Subscribed channels, maintained by the hub; absent before the first. */
  channels: Set<Topic> | undefined = undefined

  constructor(principal: Principal) {
    this.principal = principal
    this.owner = userTopic(principal.tenant, principal.user)
  }

  /** Made when it is first asked for: most clients never learn theirs. */
  get id(): string {
    this.#id ??= crypto.randomUUID()
    return this.#id
  }

  /** A method, since TypeScript would narrow a property across an await. */
  hasEnded(): boolean {
    return this.phase === 'ended'
  }

  /** Accepts the whole frame or nothing. The caller MUST cut a connection that refuses. */
  abstract write(frame: Frame): WriteResult
  /** Writes an entry of the user's log and, unless refused, asks for its receipt. */
  writeAndAsk(frame: Frame, cursor: Cursor): WriteResult {
    const written = this.write(frame)
    if (written !== 'refused') this.ask(cursor)
    return written
  }

  /** Runs `writes` and sends their output together. */
  abstract batch(writes: () => void): void
  /** Accepted bytes that the client has not read yet. */
  abstract buffered(): number
  /** Asks for a receipt: proof that the client has read everything up to the cursor. */
  abstract ask(cursor: Cursor): void
  /** Resolves when the client has read all buffered bytes, or the connection has ended. */
  abstract drained(): Promise<void>
  /** Ends it in order: close frame, or end of stream. `text` has at most 123 bytes. */
  abstract close(reason: CloseReason, text?: string): void
  /** Ends it at once, without a close frame: the client does not read. */
  abstract cut(): void
  /** Subscribes the socket to a native topic; false if the transport has none. */
  abstract listen(name: string): boolean
  abstract unlisten(name: string): void
}
