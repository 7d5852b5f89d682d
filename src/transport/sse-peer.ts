import type { Server } from 'bun'
import type { WriteResult } from '../hub/connection.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import { CLOSES, type CloseReason } from '../protocol/close-codes.ts'
import { COMMENT } from '../protocol/stream-event.ts'
import { errorFrame } from './outbound.ts'
import { Peer } from './peer.ts'
import type { Sessions } from './session.ts'
import { type Outputs, StreamOutput } from './stream-output.ts'
import { type StreamProgress, StreamProof } from './stream-proof.ts'

/** Bytes beyond the limit that one turn may add before the stream can send. */
const TURN_SLACK_BYTES = 4 * 1024 * 1024

/** Parts that all streams share: a field of each would cost 8 bytes. */
interface SharedParts {
  readonly sendBufferBytes: number
  readonly buffers: Pick<SendBuffers, 'grew'>
  readonly outputs: Outputs
  readonly end: Sessions['ended']
  /** Idle time-out of the socket after the end of the stream. */
  readonly keepAliveSeconds: number
}

/** The request of a stream, and the server that sets the idle time-out of its socket. */
interface Origin {
  readonly request: Request
  readonly server: Pick<Server<unknown>, 'timeout'> | null
}

/** One SSE stream. */
export class SsePeer extends Peer {
  /** Address and port of the client, as `endName` formats them. */
  readonly clientEnd: string
  readonly proof = new StreamProof()
  /** Time of the last comment sent to find out whether the client is still there. */
  probedAt = Number.NEGATIVE_INFINITY
  readonly #shared: SharedParts
  readonly #output: StreamOutput
  readonly #request: Origin['request']
  readonly #server: Origin['server']
  /** True within a batch. */
  #isPaced = false

  constructor(
    principal: Principal,
    clientEnd: string,
    { request, server }: Origin,
    shared: SharedParts,
    now: number,
  ) {
    super(principal, true, now)
    this.clientEnd = clientEnd
    this.#request = request
    this.#server = server
    this.#shared = shared
    this.#output = new StreamOutput(this, shared.outputs)
    // Quiet streams stay open.
    this.#setIdleSeconds(0)
  }

  get transport() {
    return 'sse' as const
  }

  get chunks(): number {
    return this.#output.chunks
  }

  body(): ReadableStream<string> {
    return this.#output.body()
  }

  override write({ sse: { text, bytes } }: Frame): WriteResult {
    if (this.hasEnded()) return 'refused'
    const { sendBufferBytes, buffers } = this.#shared
    const waiting = this.buffered() + bytes
    // Output of the current turn does not count as backlog. A single frame always fits.
    const { isBehind } = this.#output
    const slack = isBehind ? 0 : TURN_SLACK_BYTES
    const isOver = waiting > bytes && waiting > sendBufferBytes + slack
    if (isOver && !this.#isPaced) return 'refused'
    if (isBehind) buffers.grew(bytes)
    this.#output.write(text, bytes)
    return waiting > sendBufferBytes / 2 ? 'buffered' : 'sent'
  }

  /** Handles a disconnected client. */
  gone(): void {
    this.#leave(false)
  }

  override taken(): number {
    return this.#output.taken
  }

  handed(): StreamProgress {
    const { epoch, position: seq } = this
    const isAtPlace = epoch !== '' && this.buffered() === 0
    return {
      place: isAtPlace ? { epoch, seq } : undefined,
      bytes: this.#output.taken,
      surelyBytes: this.#output.sent,
    }
  }

  /** Never refuses frames of the batch: `buffered` slows down the writer. */
  override batch(writes: () => void): void {
    this.#isPaced = true
    writes()
    this.#isPaced = false
  }

  override buffered(): number {
    return this.#output.waiting
  }

  override ask(): void {
    // Streams cannot answer; TCP acknowledgements prove delivery, see stream-watch.
  }

  override beat(): void {
    if (!this.greeted) this.ping()
  }

  /** Sends a comment. Clients ignore it; a proxy notices by it that its client has gone. */
  override ping(): void {
    this.#output.write(COMMENT, COMMENT.length)
    this.#output.flush()
  }

  override drained(): Promise<void> {
    return this.#output.drained()
  }

  override unblock(): void {
    if (this.buffered() === 0) this.#output.release()
  }

  override close(reason: CloseReason, text: string = CLOSES[reason].reason): void {
    if (reason === 'tokenExpired') this.write(errorFrame('UNAUTHORIZED', text))
    if (reason === 'disconnected') this.write(errorFrame('FORBIDDEN', text))
    this.#finish()
  }

  override shutdown(frame: Frame): void {
    this.write(frame)
    this.#finish()
  }

  override cut(): void {
    this.#leave(true)
    // Before the end: the runtime then no longer knows the request.
    this.#drop()
    this.#output.cut()
  }

  /** Closes the socket of a client that does not read: closing the stream does not. */
  #drop(): void {
    this.#setIdleSeconds(1)
  }

  override listen(): boolean {
    return false
  }

  override unlisten(): void {
    // Streams have no native subscriptions.
  }

  #finish(): void {
    this.#output.flush()
    this.#leave(false)
    const isStuck = this.buffered() > 0 || this.proof.owesSince !== undefined
    if (isStuck) this.#drop()
    else this.#setIdleSeconds(this.#shared.keepAliveSeconds)
    this.#output.end()
  }

  #setIdleSeconds(seconds: number): void {
    this.#server?.timeout(this.#request, seconds)
  }

  #leave(slow: boolean): void {
    this.#shared.end(this, { code: 'sse', slow })
    this.#output.release()
  }
}
