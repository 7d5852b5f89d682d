import type { WriteResult } from '../hub/connection.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Frame } from '../notification/frame.ts'
import type { Principal } from '../notification/principal.ts'
import type { OnFault } from '../observe/fault.ts'
import { CLOSES, type CloseReason } from '../protocol/close-codes.ts'
import { COMMENT } from '../protocol/stream-event.ts'
import { errorFrame } from './outbound.ts'
import { Peer } from './peer.ts'
import type { Sessions } from './session.ts'
import { type StreamProgress, StreamProof } from './stream-proof.ts'

/** Bytes. The runtime reserves that much memory per stream; `write` enforces the real limit. */
const HIGH_WATER_MARK = 1
/** Bytes beyond the limit that one turn may add before the stream can send. */
const TURN_SLACK_BYTES = 4 * 1024 * 1024

/** Flushes each stream once per turn: one joined string is far cheaper than many chunks. */
interface Turns {
  add(peer: SsePeer): void
}

export function createTurns(onFault: OnFault): Turns {
  let dirty: SsePeer[] = []
  const flush = (): void => {
    const peers = dirty
    dirty = []
    for (const peer of peers) {
      try {
        peer.flush()
      } catch (error) {
        onFault(error)
        peer.gone()
      }
    }
  }
  return {
    add: peer => {
      if (dirty.length === 0) setImmediate(flush)
      dirty.push(peer)
    },
  }
}

/** One SSE stream. */
export class SsePeer extends Peer {
  readonly body: ReadableStream<string>
  /** Address and port of the client, as `endName` formats them. */
  readonly clientEnd: string
  readonly proof = new StreamProof()
  /** Chunks written so far. */
  chunks = 0
  /** Time of the last comment sent to find out whether the client is still there. */
  probedAt = Number.NEGATIVE_INFINITY
  readonly #sendBufferBytes: number
  readonly #end: Sessions['ended']
  readonly #buffers: Pick<SendBuffers, 'grew'>
  readonly #turns: Turns
  readonly #setIdleSeconds: (seconds: number) => void
  readonly #keepAliveSeconds: number
  #controller: ReadableStreamDefaultController<string> | undefined
  #pending: string[] = []
  #pendingBytes = 0
  #writtenBytes = 0
  #lastChunkBytes = 0
  /** True within a batch. */
  #isPaced = false
  #drained: PromiseWithResolvers<void> | undefined

  constructor(options: {
    readonly principal: Principal
    readonly clientEnd: string
    readonly now: number
    readonly sendBufferBytes: number
    readonly buffers: Pick<SendBuffers, 'grew'>
    readonly turns: Turns
    readonly end: Sessions['ended']
    /** Sets the idle time-out of the socket in seconds; 0: none. */
    readonly setIdleSeconds: (seconds: number) => void
    /** Idle time-out of the socket after the end of the stream. */
    readonly keepAliveSeconds: number
  }) {
    super(options.principal, true, options.now)
    this.clientEnd = options.clientEnd
    this.#sendBufferBytes = options.sendBufferBytes
    this.#end = options.end
    this.#buffers = options.buffers
    this.#turns = options.turns
    this.#setIdleSeconds = options.setIdleSeconds
    this.#keepAliveSeconds = options.keepAliveSeconds
    // Quiet streams stay open.
    this.#setIdleSeconds(0)
    this.body = new ReadableStream<string>(
      {
        start: controller => {
          this.#controller = controller
          // The runtime sends the headers with the first chunk.
          controller.enqueue(COMMENT)
        },
        pull: () => this.unblock(),
        cancel: () => this.gone(),
      },
      { highWaterMark: HIGH_WATER_MARK, size: (chunk = '') => Buffer.byteLength(chunk) },
    )
  }

  get transport() {
    return 'sse' as const
  }

  override write({ sse }: Frame): WriteResult {
    if (this.#controller === undefined) return 'refused'
    const bytes = Buffer.byteLength(sse)
    const waiting = this.buffered() + bytes
    // Output of the current turn does not count as backlog. A single frame always fits.
    const isWaiting = this.buffered() > this.#pendingBytes
    const slack = isWaiting ? 0 : TURN_SLACK_BYTES
    const isOver = waiting > bytes && waiting > this.#sendBufferBytes + slack
    if (isOver && !this.#isPaced) return 'refused'
    if (isWaiting) this.#buffers.grew(bytes)
    if (this.#pending.length === 0) this.#turns.add(this)
    this.#pending.push(sse)
    this.#pendingBytes += bytes
    this.#writtenBytes += bytes
    return this.buffered() > this.#sendBufferBytes / 2 ? 'buffered' : 'sent'
  }

  flush(): void {
    if (this.#pending.length === 0) return
    const text = this.#pending.join('')
    this.#pending = []
    this.chunks++
    this.#lastChunkBytes = this.#pendingBytes
    this.#pendingBytes = 0
    this.#controller?.enqueue(text)
  }

  /** Handles a disconnected client: writes to its stream would throw. */
  gone(): void {
    this.#controller = undefined
    this.#pending = []
    this.#pendingBytes = 0
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
      surelyBytes: this.taken() - this.#lastChunkBytes,
    }
  }

  /** Never refuses frames of the batch: `buffered` slows down the writer. */
  override batch(writes: () => void): void {
    this.#isPaced = true
    writes()
    this.#isPaced = false
  }

  override buffered(): number {
    const room = this.#controller?.desiredSize ?? HIGH_WATER_MARK
    return this.#pendingBytes + HIGH_WATER_MARK - room
  }

  override ask(): void {
    // Streams cannot answer; TCP acknowledgements prove delivery, see stream-watch.
  }

  override beat(): void {
    if (!this.greeted) this.ping()
  }

  /** Sends a comment. Clients ignore it; a proxy notices by it that its client has gone. */
  override ping(): void {
    this.flush()
    this.chunks++
    this.#lastChunkBytes = COMMENT.length
    this.#writtenBytes += COMMENT.length
    this.#controller?.enqueue(COMMENT)
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
    this.#controller?.close()
    this.#controller = undefined
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
    this.#controller?.close()
    this.#controller = undefined
    if (isStuck) this.#drop()
    else this.#setIdleSeconds(this.#keepAliveSeconds)
  }

  #leave(slow: boolean): void {
    this.#end(this, { code: 'sse', slow })
    this.#release()
  }

  #release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}
