import { frameOf } from './frames.ts'

/** Records on their way to a sibling: those of one turn leave in one write. */
export interface Outgoing {
  put(record: string): void
  /** Sends at once what waits for the end of the turn. */
  flush(): void
  /** The socket has room again. */
  drain(): void
}

interface OutgoingOptions {
  /** Returns the number of bytes that the socket took; less than 1 while it takes none. */
  readonly write: (bytes: Buffer) => number
  /** More than MAX_WAITING bytes or characters wait. */
  readonly onFull: () => void
}

/** Bound of what waits for one sibling. */
export const MAX_WAITING = 64 * 1024 * 1024

export function createOutgoing({ write, onFull }: OutgoingOptions): Outgoing {
  /** Records of this turn. */
  let records = ''
  /** Frames that the socket has not taken, the first perhaps in part. */
  const frames: Buffer[] = []
  let waiting = 0

  const drain = (): void => {
    for (let [frame] = frames; frame !== undefined; [frame] = frames) {
      const taken = Math.max(0, write(frame))
      waiting -= taken
      if (taken < frame.length) {
        frames[0] = frame.subarray(taken)
        return
      }
      frames.shift()
    }
  }

  const flush = (): void => {
    if (records === '') return
    const frame = frameOf(records)
    waiting += frame.length
    records = ''
    frames.push(frame)
    if (frames.length === 1) drain()
    if (waiting > MAX_WAITING) onFull()
  }

  return {
    put: record => {
      if (records === '') setImmediate(flush)
      records += record
      if (waiting + records.length > MAX_WAITING) flush()
    },
    flush,
    drain,
  }
}
