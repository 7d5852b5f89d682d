import type { SendQueues } from '../lib/system/send-queues.ts'
import type { SsePeer } from './sse-peer.ts'

/** Least bytes that HTTP adds to a chunk: one digit and two line ends. */
const CHUNK_FRAMING_BYTES = 5

const framingOf = ({ chunks }: SsePeer): number => chunks * CHUNK_FRAMING_BYTES

/**
 * Finds streams whose clients acknowledge nothing from the first reading of the send queues to the last. Output that is
 * written during a reading counts against the stream; a live one acknowledges more than that before the last reading.
 */
export class SilenceWatch {
  readonly #queues: Pick<SendQueues, 'read'>
  /** Acknowledged bytes at the first reading, of streams that are silent so far. */
  #silent = new Map<SsePeer, number>()

  constructor(queues: Pick<SendQueues, 'read'>) {
    this.#queues = queues
  }

  async begin(streams: readonly SsePeer[]): Promise<void> {
    const queues = await this.#queues.read()
    for (const stream of streams) {
      const queued = queues?.get(stream.clientEnd) ?? 0
      if (queued > 0) this.#silent.set(stream, stream.taken() + framingOf(stream) - queued)
    }
  }

  /** Leaves out the last chunk: it may still be in the runtime and not in the queue. */
  async readAgain(): Promise<void> {
    if (this.#silent.size === 0) return
    const handed = [...this.#silent.keys()].map(
      stream => [stream, stream.handed().surelyBytes + framingOf(stream)] as const,
    )
    const queues = await this.#queues.read()
    for (const [stream, bytes] of handed) {
      const queued = queues?.get(stream.clientEnd) ?? 0
      const acknowledged = this.#silent.get(stream) ?? 0
      if (queued === 0 || bytes - queued > acknowledged) this.#silent.delete(stream)
    }
  }

  /** Returns the stream that has owed an acknowledgement longest; of equals the oldest. */
  longest(): SsePeer | undefined {
    const since = ({ proof }: SsePeer): number => proof.owesSince ?? Number.POSITIVE_INFINITY
    const open = [...this.#silent.keys()].filter(stream => !stream.hasEnded())
    return open.toSorted((a, b) => (since(a) === since(b) ? 0 : since(a) - since(b)))[0]
  }
}
