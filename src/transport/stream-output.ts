import type { OnFault } from '../observe/fault.ts'
import { COMMENT } from '../protocol/stream-event.ts'

/** Bytes. The runtime reserves that much memory per stream, and sends anything larger at once. */
const HIGH_WATER_MARK = 1

/** The connection that an output belongs to. */
interface Owner {
  hasEnded(): boolean
  /** The client has disconnected. */
  gone(): void
}

/** Parts that all outputs share. */
export interface Outputs {
  /** Flushes each output once per turn: one joined string is far cheaper than many chunks. */
  flushSoon(output: StreamOutput): void
  /** Adds a text. Streams of one room get the same texts in a turn: one joined string serves all. */
  join(before: Joined, added: string): Joined
}

/** Text that waits. It is recognized as an object: comparing long texts would take time for each event. */
interface Joined {
  readonly text: string
}

const NOTHING: Joined = { text: '' }

export function createOutputs(onFault: OnFault): Outputs {
  let dirty: StreamOutput[] = []
  let last = { before: NOTHING, added: '', joined: NOTHING }
  const flush = (): void => {
    const outputs = dirty
    dirty = []
    for (const output of outputs) {
      try {
        output.flush()
      } catch (error) {
        onFault(error)
        output.cancel()
      }
    }
  }
  return {
    flushSoon: output => {
      if (dirty.length === 0) setImmediate(flush)
      dirty.push(output)
    },
    join: (before, added) => {
      if (before !== last.before || added !== last.added)
        last = { before, added, joined: { text: before.text + added } }
      return last.joined
    },
  }
}

/**
 * Events of one stream on their way to its socket, and the source of the runtime's stream. The runtime keeps no queue: that
 * would take a microsecond and promises for each chunk.
 */
export class StreamOutput {
  /** Chunks written so far. */
  chunks = 0
  readonly #owner: Owner
  readonly #outputs: Outputs
  #controller: ReadableStreamDirectController | undefined
  /** Text that the runtime does not have yet. */
  #waiting = NOTHING
  /** Its bytes: those of this turn, and older ones. */
  #turnBytes = 0
  #olderBytes = 0
  /** Bytes of the last chunk while the system does not take all of it; 0: it has everything. */
  #blockedBytes = 0
  #writtenBytes = 0
  #drained: PromiseWithResolvers<void> | undefined

  constructor(owner: Owner, outputs: Outputs) {
    this.#owner = owner
    this.#outputs = outputs
  }

  get type() {
    return 'direct' as const
  }

  /** The runtime sends the headers, with the first chunk: therefore the comment. */
  pull(controller: ReadableStreamDirectController): void {
    if (this.#controller !== undefined) return
    this.#controller = controller
    this.#waiting = { text: COMMENT + this.#waiting.text }
    this.#count(COMMENT.length)
    this.flush()
    if (this.#owner.hasEnded()) controller.close()
  }

  /** The client has disconnected, maybe before `pull`. */
  cancel(): void {
    this.#discard()
    this.#owner.gone()
  }

  body(): ReadableStream<string> {
    return new ReadableStream<string>(this, { highWaterMark: HIGH_WATER_MARK })
  }

  /** True if output of earlier turns waits. */
  get isBehind(): boolean {
    return this.#olderBytes > 0
  }

  /** Bytes that the runtime does not have yet. */
  get waiting(): number {
    return this.#turnBytes + this.#olderBytes
  }

  /** Bytes that the runtime has. */
  get taken(): number {
    return this.#writtenBytes - this.waiting
  }

  /** Bytes that the system has. */
  get sent(): number {
    return this.taken - this.#blockedBytes
  }

  write(text: string, bytes: number): void {
    if (this.#turnBytes === 0) this.#outputs.flushSoon(this)
    this.#waiting = this.#outputs.join(this.#waiting, text)
    this.#count(bytes)
  }

  /** Hands over what this turn wrote, or lets it wait for a client that is behind. */
  flush(): void {
    this.#olderBytes += this.#turnBytes
    this.#turnBytes = 0
    if (this.#blockedBytes === 0) this.#send()
  }

  /** Hands over everything, also for a client that is behind, and ends the stream. */
  end(): void {
    this.#send()
    this.#controller?.close()
  }

  cut(): void {
    this.#discard()
    this.#controller?.close()
  }

  /** Resolves when nothing waits, or at `release`. */
  drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  release(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }

  #count(bytes: number): void {
    this.#turnBytes += bytes
    this.#writtenBytes += bytes
  }

  /** The runtime takes a chunk in any case. A promise resolves when the system has taken it too. */
  #send(): void {
    if (this.#waiting === NOTHING || this.#controller === undefined) return
    const taken = this.#controller.write(this.#waiting.text)
    this.chunks++
    if (typeof taken !== 'number') {
      this.#blockedBytes = this.waiting
      const resume = () => this.#resume()
      taken.then(resume, resume)
    }
    this.#discard()
    this.release()
  }

  #resume(): void {
    this.#blockedBytes = 0
    this.#outputs.flushSoon(this)
  }

  #discard(): void {
    this.#waiting = NOTHING
    this.#turnBytes = 0
    this.#olderBytes = 0
  }
}
