import type { ServerWebSocket } from 'bun'
import type { OpenConnections } from '../dispatch/reach.ts'
import type { WriteResult } from '../hub/connection.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type Cursor, formatCursor } from '../notification/cursor.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import { CLOSES, type CloseReason } from '../protocol/close-codes.ts'
import { type ConnectRequest, Peer } from './peer.ts'
import type { Sessions } from './session.ts'

/** Longest header of a WebSocket frame (RFC 6455 §5.2). */
const MAX_HEADER_BYTES = 14
/** Number of unanswered pings to remember; older ones are forgotten. */
const MAX_PINGS = 16
const NO_PINGS: readonly Ping[] = []

/** A pong's proof: the client has read everything up to the cursor. */
export interface Proof {
  readonly cursor: Cursor
  /** Time of the first write that it proves, monotonic milliseconds; undefined without one. */
  readonly handedAt: number | undefined
}

interface Ping extends Proof {
  readonly payload: string
}

/** One WebSocket; the runtime keeps it as `ws.data`. */
export class WebSocketPeer extends Peer {
  readonly transport = 'ws'
  readonly wish: ConnectRequest
  /** Connections on other nodes during admission. */
  readonly elsewhere: OpenConnections
  readonly #sendBufferBytes: number
  readonly #end: Sessions['ended']
  readonly #clock: Clock
  readonly #buffers: Pick<SendBuffers, 'grew'> | undefined
  #socket: ServerWebSocket<WebSocketPeer> | undefined
  /** Unanswered pings with a cursor, oldest first. */
  #pings = NO_PINGS
  #askAgain = false
  /** Time of the first write after the last ping. */
  #handedAt: number | undefined = undefined
  #writtenBytes = 0
  /** Bytes that the current batch has written; undefined outside a batch. */
  #batchBytes: number | undefined = undefined
  #drained: PromiseWithResolvers<void> | undefined

  constructor(options: {
    readonly principal: Principal
    readonly wish: ConnectRequest
    readonly elsewhere: OpenConnections
    readonly clock: Clock
    readonly buffers?: Pick<SendBuffers, 'grew'>
    readonly sendBufferBytes: number
    readonly end: Sessions['ended']
  }) {
    super(options.principal, options.wish.cursor !== undefined, options.clock.monotonic())
    this.wish = options.wish
    this.elsewhere = options.elsewhere
    this.#sendBufferBytes = options.sendBufferBytes
    this.#end = options.end
    this.#clock = options.clock
    this.#buffers = options.buffers
  }

  attach(socket: ServerWebSocket<WebSocketPeer>): void {
    this.#socket = socket
  }

  override write({ json }: Frame): WriteResult {
    const socket = this.#socket
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return 'refused'
    const taken = socket.send(json, false)
    if (taken === 0) return 'refused'
    const bytes = Buffer.byteLength(json)
    this.#writtenBytes += bytes
    if (taken < 0) this.#buffers?.grew(bytes)
    if (this.#batchBytes !== undefined) return this.#pace(taken < 0, bytes)
    if (taken > 0) return 'sent'
    // A single frame always fits: a large one could never be sent otherwise.
    const waiting = socket.getBufferedAmount()
    return waiting > this.#sendBufferBytes && waiting > bytes + MAX_HEADER_BYTES ? 'refused' : 'buffered'
  }

  /** Sends frame and ping in one packet when nothing waits. Corking hides backpressure, but then the frame fits. */
  override writeAndAsk(frame: Frame, cursor: Cursor): WriteResult {
    const socket = this.#socket
    if (socket === undefined || this.#pings.length > 0 || socket.getBufferedAmount() > 0)
      return super.writeAndAsk(frame, cursor)
    let written: WriteResult = 'refused'
    socket.cork(() => {
      written = super.writeAndAsk(frame, cursor)
    })
    return written
  }

  override taken(): number {
    return this.#writtenBytes - this.buffered()
  }

  /** Never refuses frames of the batch: `buffered` slows down the writer. */
  override batch(writes: () => void): void {
    this.#batchBytes = 0
    this.#socket?.cork(writes)
    this.#batchBytes = undefined
  }

  override buffered(): number {
    return this.#socket?.getBufferedAmount() ?? 0
  }

  /**
   * Pings after the written frames: the pong proves that the client has read them (RFC 6455 §5.5.3). One ping is open
   * at a time; the next one covers later frames.
   */
  override ask(cursor: Cursor): void {
    this.#handedAt ??= this.#clock.monotonic()
    if (this.#pings.length > 0) this.#askAgain = true
    else this.#ping(cursor)
  }

  override beat(): void {
    this.ping()
  }

  override ping(): void {
    if (this.epoch === '') this.#socket?.ping()
    else this.#ping({ epoch: this.epoch, seq: this.position })
  }

  /** Matches a pong; undefined for an unsolicited one. A pong for a later ping settles the earlier ones. */
  answered(payload: string): Proof | undefined {
    const at = this.#pings.findLastIndex(ping => ping.payload === payload)
    const cursor = this.#pings[at]?.cursor
    if (cursor === undefined) return undefined
    const settled = this.#pings.slice(0, at + 1)
    this.#pings = at + 1 === this.#pings.length ? NO_PINGS : this.#pings.slice(at + 1)
    if (this.#askAgain && this.#pings.length === 0) {
      this.#askAgain = false
      this.#ping({ epoch: this.epoch, seq: this.position })
    }
    return { cursor, handedAt: settled.find(({ handedAt }) => handedAt !== undefined)?.handedAt }
  }

  override drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  get #waits(): boolean {
    return this.#drained !== undefined || this.#askAgain
  }

  /** Waits for an empty buffer: writing more after each part would pile up the rest. */
  override unblock(): void {
    if (this.#waits && this.buffered() === 0) this.release()
  }

  /** Checks after input: the runtime may flush then without calling `drain`. */
  unblockSoon(): void {
    if (this.#waits) setImmediate(() => this.unblock())
  }

  /** Resumes waiting work: the buffer is empty or the client has gone. */
  release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
    if (!this.#askAgain || this.#pings.length > 0 || this.hasEnded()) return
    this.#askAgain = false
    this.#ping({ epoch: this.epoch, seq: this.position })
  }

  override close(reason: CloseReason, text: string = CLOSES[reason].reason): void {
    const { code } = CLOSES[reason]
    this.#leave(code)
    // A close frame behind unread bytes would keep the socket open for ever.
    if (this.buffered() > 0) this.#socket?.terminate()
    else this.#socket?.close(code, text)
  }

  override shutdown(frame: Frame): void {
    this.write(frame)
    this.close('serviceRestart')
  }

  override cut(): void {
    this.#leave(1006, true)
    this.#socket?.terminate()
  }

  override listen(name: string): boolean {
    this.#socket?.subscribe(name)
    return true
  }

  override unlisten(name: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.unsubscribe(name)
  }

  /** Paces a batch by its size: the runtime corks it and reports no backpressure. */
  #pace(isBehind: boolean, bytes: number): WriteResult {
    this.#batchBytes = (this.#batchBytes ?? 0) + bytes
    return isBehind || this.#batchBytes > this.#sendBufferBytes / 2 ? 'buffered' : 'sent'
  }

  #leave(code: number, slow = false): void {
    this.#end(this, { code, slow })
    this.release()
  }

  #ping(cursor: Cursor): void {
    const payload = formatCursor(cursor)
    const taken = this.#socket?.ping(payload) ?? 0
    if (taken === 0) {
      this.#askAgain = true
      return
    }
    this.#pings = [...this.#pings, { payload, cursor, handedAt: this.#handedAt }].slice(-MAX_PINGS)
    this.#handedAt = undefined
  }
}
