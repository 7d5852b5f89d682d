import type { Cursor } from '../notification/cursor.ts'

/** What had been handed over when the send queues were read. Bytes are those of events, without the framing of HTTP. */
export interface StreamProgress {
  /** Undefined while bytes wait here: they have not even reached the kernel. */
  readonly place: Cursor | undefined
  readonly bytes: number
  /** Without the last chunk: it may still wait in the runtime, which hands on one after the other. */
  readonly surelyBytes: number
}

/** What the TCP of one stream's client has acknowledged. */
export class StreamProof {
  /** Since when nothing was acknowledged although bytes wait. */
  owesSince: number | undefined = undefined
  /** The most that has been acknowledged. */
  #bytes = 0
  /** A place that waits for its receipt, and the bytes up to it. */
  #due: { readonly cursor: Cursor; readonly bytes: number } | undefined

  /**
   * All that was `handed` but so many bytes had been acknowledged. They may include framing: then less counts as acknowledged
   * than was. Returns the place that is now proved to be received.
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
