import type { WriteResult } from '../hub/connection.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import { CLOSES, type CloseReason } from '../protocol/close-codes.ts'
import { COMMENT } from '../protocol/stream-event.ts'
import { errorFrame } from './outbound.ts'
import { Peer } from './peer.ts'
import type { SharedParts, Timeouts } from './stream-parts.ts'
import { type StreamProgress, StreamProof } from './stream-proof.ts'

/** Bytes. The runtime reserves that much memory per stream, and sends whatever is larger at once. */
const HIGH_WATER_MARK = 1
/** Bytes beyond the limit that one turn may add before the stream can send. */
const TURN_SLACK_BYTES = 4 * 1024 * 1024

/** The body of a stream as the runtime sees it. */
class DirectBody {
  readonly type = 'direct'
  readonly #peer: SsePeer

  constructor(peer: SsePeer) {
    this.#peer = peer
  }

  /** Called when the runtime sends the headers. */
  pull(controller: ReadableStreamDirectController): void {
    this.#peer.start(controller)
  }

  /** Called when the client has disconnected, also before `pull`. */
  cancel(): void {
    this.#peer.gone()
  }
}

/** One SSE stream. Its texts go straight to the runtime's socket: a queue in between would cost memory and time. */
export class SsePeer extends Peer {
  /** Address and port of the client, as `endName` formats them. */
  readonly clientEnd: string
  readonly proof = new StreamProof()
  /** Chunks written so far. */
  chunks = 0
  /** Time of the last comment sent to find out whether the client is still there. */
  probedAt = Number.NEGATIVE_INFINITY
  readonly #shared: SharedParts
  readonly #request: Request
  readonly #timeouts: Timeouts | null
  #controller: ReadableStreamDirectController | undefined
  /** Text that the runtime does not have yet. */
  #text = ''
  /** Bytes of it that this turn wrote. */
  #turnBytes = 0
  /** Bytes of it that earlier turns wrote. */
  #waitingBytes = 0
  /** Bytes of the last chunk while the system does not take all of it; 0: it has everything. */
  #blockedBytes = 0
  #writtenBytes = 0
  /** True within a batch. */
  #isPaced = false
  #drained: PromiseWithResolvers<void> | undefined

  constructor(options: {
    readonly principal: Principal
    readonly clientEnd: string
    readonly now: number
    readonly shared: SharedParts
    readonly request: Request
    readonly timeouts: Timeouts | null
  }) {
    super(options.principal, true, options.now)
    this.clientEnd = options.clientEnd
    this.#shared = options.shared
    this.#request = options.request
    this.#timeouts = options.timeouts
    // Quiet streams stay open.
    this.#setIdleSeconds(0)
  }

  get transport() {
    return 'sse' as const
  }

  body(): ReadableStream<string> {
    return new ReadableStream<string>(new DirectBody(this), { highWaterMark: HIGH_WATER_MARK })
  }

  /** Sends a comment, since the headers go out with the first chunk, and what was written since the request. */
  start(controller: ReadableStreamDirectController): void {
    if (this.#controller !== undefined) return
    this.#controller = controller
    this.#text = COMMENT + this.#text
    this.#turnBytes += COMMENT.length
    this.#writtenBytes += COMMENT.length
    this.flush()
    if (this.hasEnded()) controller.close()
  }

  override write({ sse: { text, bytes } }: Frame): WriteResult {
    if (this.hasEnded()) return 'refused'
    const { sendBufferBytes, buffers, turns } = this.#shared
    const waiting = this.buffered() + bytes
    // Output of the current turn does not count as backlog. A single frame always fits.
    const isWaiting = this.#waitingBytes > 0
    const slack = isWaiting ? 0 : TURN_SLACK_BYTES
    const isOver = waiting > bytes && waiting > sendBufferBytes + slack
    if (isOver && !this.#isPaced) return 'refused'
    if (isWaiting) buffers.grew(bytes)
    if (this.#turnBytes === 0) turns.add(this)
    this.#add(text, bytes)
    return waiting > sendBufferBytes / 2 ? 'buffered' : 'sent'
  }

  /** Sends what this turn wrote, or lets it wait for a client that is behind. */
  flush(): void {
    this.#waitingBytes += this.#turnBytes
    this.#turnBytes = 0
    if (this.#blockedBytes === 0) this.#send()
  }

  /** Handles a disconnected client. */
  gone(): void {
    this.#discard()
    this.#leave(false)
  }

  override taken(): number {
    return this.#writtenBytes - this.buffered()
  }

  handed(): StreamProgress {
    const { epoch, position: seq } = this
    const isAtPlace = epoch !== '' && this.buffered() === 0
    return {
      place: isAtPlace ? { epoch, seq } : undefined,
      bytes: this.taken(),
      surelyBytes: this.taken() - this.#blockedBytes,
    }
  }

  /** Never refuses frames of the batch: `buffered` slows down the writer. */
  override batch(writes: () => void): void {
    this.#isPaced = true
    writes()
    this.#isPaced = false
  }

  override buffered(): number {
    return this.#turnBytes + this.#waitingBytes
  }

  override ask(): void {
    // Streams cannot answer; TCP acknowledgements prove delivery, see stream-watch.
  }

  override beat(): void {
    if (!this.greeted) this.ping()
  }

  /** Sends a comment. Clients ignore it; a proxy notices by it that its client has gone. */
  override ping(): void {
    this.#add(COMMENT, COMMENT.length)
    this.flush()
  }

  override drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  override unblock(): void {
    if (this.buffered() === 0) this.#release()
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
    this.#discard()
    this.#controller?.close()
    this.#drop()
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
    this.flush()
    this.#leave(false)
    const isStuck = this.buffered() > 0 || this.proof.owesSince !== undefined
    this.#send()
    this.#controller?.close()
    if (isStuck) this.#drop()
    else this.#setIdleSeconds(this.#shared.keepAliveSeconds)
  }

  #add(text: string, bytes: number): void {
    this.#text = this.#shared.texts.join(this.#text, text)
    this.#turnBytes += bytes
    this.#writtenBytes += bytes
  }

  /** Hands over all text. The runtime takes it in any case, and promises to tell when the system has it. */
  #send(): void {
    if (this.#text === '' || this.#controller === undefined) return
    const taken = this.#controller.write(this.#text)
    this.chunks++
    if (typeof taken !== 'number') {
      this.#blockedBytes = this.buffered()
      const resume = () => this.#resume()
      taken.then(resume, resume)
    }
    this.#discard()
    this.unblock()
  }

  #resume(): void {
    this.#blockedBytes = 0
    this.#shared.turns.add(this)
  }

  #discard(): void {
    this.#text = ''
    this.#turnBytes = 0
    this.#waitingBytes = 0
  }

  #setIdleSeconds(seconds: number): void {
    this.#timeouts?.timeout(this.#request, seconds)
  }

  #leave(slow: boolean): void {
    this.#shared.end(this, { code: 'sse', slow })
    this.#release()
  }

  #release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}
