import type { ServerWebSocket } from 'bun'
import type { WriteResult } from '../hub/connection.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { KeptFrames, Together } from '../hub/together.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type Cursor, formatCursor } from '../notification/cursor.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import { CLOSES, type CloseReason } from '../protocol/close-codes.ts'
import { type Opening, Peer } from './peer.ts'
import { NO_PINGS, settlePings, withPing } from './pings.ts'
import type { Sessions } from './session.ts'

/** Longest header of a WebSocket frame (RFC 6455 §5.2). */
const MAX_HEADER_BYTES = 14
/**
 * A client that gets much is asked for a receipt every 200 ms, or every 8 entries, since each ping costs a pong: 6 µs per
 * send. A client that gets little is asked at once: it may save up five pings.
 */
const ASK_MS = 200
const FREE_MS = 5 * ASK_MS
const ASK_ENTRIES = 8
/** Parts that all WebSockets share: a field of each would cost 8 bytes. */
interface SharedParts {
  readonly clock: Clock
  readonly buffers?: Pick<SendBuffers, 'grew'>
  readonly together?: Together
  readonly sendBufferBytes: number
  readonly end: Sessions['ended']
}

/** One WebSocket; the runtime keeps it as `ws.data`. */
export class WebSocketPeer extends Peer {
  /** Dropped once the socket is open. */
  opening: Opening | undefined
  readonly #shared: SharedParts
  #socket: ServerWebSocket<WebSocketPeer> | undefined
  /** Unanswered pings with a cursor, oldest first. */
  #pings = NO_PINGS
  /** Time of the first entry after the last ping, monotonic milliseconds; undefined: the last ping covers all. */
  #handedAt: number | undefined = undefined
  /** Each ping for entries moves it on by ASK_MS, from that ping at least. */
  #askedUntil = 0
  /** Last seq of the last ping. */
  #askedSeq = 0
  #writtenBytes = 0
  /** Bytes that the current batch has written; undefined outside a batch. */
  #batchBytes: number | undefined = undefined
  #drained: PromiseWithResolvers<void> | undefined
  kept: KeptFrames | undefined = undefined

  constructor(principal: Principal, opening: Opening, shared: SharedParts) {
    super(principal, opening.connectRequest.cursor !== undefined, shared.clock.monotonic())
    this.opening = opening
    this.#shared = shared
  }

  get transport() {
    return 'ws' as const
  }

  attach(socket: ServerWebSocket<WebSocketPeer>): void {
    this.#socket = socket
  }

  override write({ json }: Frame): WriteResult {
    const socket = this.#socket
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return 'refused'
    const bytes = Buffer.byteLength(json)
    if (
      this.#batchBytes === undefined &&
      this.#shared.together?.keep(this, json, bytes, this.#shared.sendBufferBytes)
    ) {
      this.#writtenBytes += bytes
      return 'sent'
    }
    const taken = socket.send(json, false)
    if (taken === 0) return 'refused'
    this.#writtenBytes += bytes
    if (taken < 0) this.#shared.buffers?.grew(bytes)
    if (this.#batchBytes !== undefined) return this.#pace(taken < 0, bytes)
    if (taken > 0) return 'sent'
    // A single frame always fits: a large one could never be sent otherwise.
    const waiting = socket.getBufferedAmount()
    return waiting > this.#shared.sendBufferBytes && waiting > bytes + MAX_HEADER_BYTES
      ? 'refused'
      : 'buffered'
  }

  sendKept({ frames, bytes }: KeptFrames): void {
    const send = () => {
      for (const frame of frames) if (this.#socket?.send(frame, false) === 0) return this.cut()
      this.#askAgain()
    }
    if (frames.length === 1 && this.#handedAt === undefined) send()
    else this.#socket?.cork(send)
    if (this.buffered() > 0) this.#shared.buffers?.grew(bytes)
  }

  /** Sends frame and ping in one packet when nothing waits. Corking hides backpressure, but then the frame fits. */
  override writeAndAsk(frame: Frame, cursor: Cursor): WriteResult {
    const socket = this.#socket
    const isAlone = socket !== undefined && !this.#shared.together?.isOn && this.#mayAsk(cursor)
    if (!isAlone || socket.getBufferedAmount() > 0) return super.writeAndAsk(frame, cursor)
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
    this.#shared.together?.flush(this)
    this.#batchBytes = 0
    this.#socket?.cork(writes)
    this.#batchBytes = undefined
  }

  override buffered(): number {
    return this.#socket?.getBufferedAmount() ?? 0
  }

  /**
   * Pings after the written frames: the pong proves that the client has read them (RFC 6455 §5.5.3). One ping is open
   * at a time, and soon after one ping no other follows: the next one covers later frames.
   */
  override ask(cursor: Cursor): void {
    this.#handedAt ??= this.#shared.clock.monotonic()
    // Kept frames are asked for when they are sent.
    if (this.kept === undefined && this.#mayAsk(cursor)) this.#ping(cursor)
  }

  override beat(): void {
    this.ping()
  }

  override ping(): void {
    this.#shared.together?.flush(this)
    if (this.epoch === '') this.#socket?.ping()
    else this.#ping(this.#place)
  }

  /** Returns what a pong proves; undefined for an unsolicited one. */
  answered(payload: string) {
    const settled = settlePings(this.#pings, payload)
    if (settled === undefined) return undefined
    this.#pings = settled.open
    this.#askAgain()
    return settled.proof
  }

  override drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  /** Waits for an empty buffer: writing more after each part would pile up the rest. */
  override unblock(): void {
    if ((this.#drained !== undefined || this.#handedAt !== undefined) && this.buffered() === 0) this.release()
  }

  /** Checks after input: the runtime may flush then without calling `drain`. */
  unblockSoon(): void {
    if (this.#drained !== undefined) setImmediate(() => this.unblock())
  }

  /** Resumes waiting work: the buffer is empty or the client has gone. */
  release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
    this.#askAgain()
  }

  override close(reason: CloseReason, text: string = CLOSES[reason].reason): void {
    const { code } = CLOSES[reason]
    this.#shared.together?.flush(this)
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
    this.kept = undefined
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
    return isBehind || this.#batchBytes > this.#shared.sendBufferBytes / 2 ? 'buffered' : 'sent'
  }

  #leave(code: number, slow = false): void {
    this.#shared.end(this, { code, slow })
    this.release()
  }

  get #place(): Cursor {
    return { epoch: this.epoch, seq: this.position }
  }

  #mayAsk({ seq }: Cursor): boolean {
    if (this.#pings.length > 0) return false
    return seq - this.#askedSeq >= ASK_ENTRIES || this.#askedUntil - this.#shared.clock.monotonic() <= FREE_MS
  }

  /** Asks for entries that no ping has covered yet. */
  #askAgain(): void {
    if (this.#handedAt !== undefined && !this.hasEnded() && this.#mayAsk(this.#place)) this.#ping(this.#place)
  }

  #ping(cursor: Cursor): void {
    const payload = formatCursor(cursor)
    const taken = this.#socket?.ping(payload) ?? 0
    const now = this.#shared.clock.monotonic()
    if (taken === 0) {
      this.#handedAt ??= now
      return
    }
    const handedAt = this.#handedAt
    if (handedAt !== undefined)
      this.#askedUntil = Math.min(Math.max(this.#askedUntil, now), now + FREE_MS) + ASK_MS
    this.#pings = withPing(this.#pings, { payload, cursor, handedAt })
    this.#handedAt = undefined
    this.#askedSeq = cursor.seq
  }
}
