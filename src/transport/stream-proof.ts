import type { Cursor } from '../notification/cursor.ts'

/** Output of a stream at the time of a reading. Bytes are those of events, without HTTP framing. */
export interface StreamProgress {
  /** Undefined while bytes wait in this process: the kernel does not have them yet. */
  readonly place: Cursor | undefined
  readonly bytes: number
  /** Bytes that the system has. The rest waits in the runtime. */
  readonly surelyBytes: number
}

/** TCP acknowledgements of one stream's client. */
export class StreamProof {
  /** Time since which bytes wait and none was acknowledged. */
  owesSince: number | undefined = undefined
  /** Highest number of acknowledged bytes. */
  #bytes = 0
  /** A cursor that waits for its receipt, and the bytes up to it. */
  #due: { readonly cursor: Cursor; readonly bytes: number } | undefined

  /**
   * Judges one reading of the send queue. `unacknowledged` may include HTTP framing, which errs on the safe side.
   * Returns the cursor that is now proved to be received.
   */
  judge(
    { place, bytes, surelyBytes }: StreamProgress,
    unacknowledged: number,
    now: number,
  ): Cursor | undefined {
    const hasMoved = unacknowledged === 0 || bytes - unacknowledged > this.#bytes
    this.owesSince = hasMoved ? undefined : (this.owesSince ?? now)
    this.#bytes = Math.max(this.#bytes, bytes - unacknowledged)
    const due = this.#due
    if (due !== undefined && surelyBytes - unacknowledged < due.bytes) return undefined
    this.#due = place && { cursor: place, bytes }
    return due?.cursor
  }
}
