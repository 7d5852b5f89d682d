import { write } from 'node:fs'

/** Writes lines to a descriptor: never waits for it, never throws, and counts what it had to drop. */
export interface LineWriter {
  /** `line` ends with a line feed. */
  write(line: string): void
  /** Lines that were lost, since the descriptor failed or its reader was too slow. */
  readonly dropped: number
  /** Resolves when every line is written, after `ms` at the latest. */
  flush(ms: number): Promise<void>
}

interface LineWriterOptions {
  readonly fd: number
  /** The line that tells how many lines are missing; it is written once writing works again. */
  readonly noteOf: (dropped: number) => Promise<string>
  /** Bound of what waits, in UTF-16 units. */
  readonly maxWaiting?: number
  /** Pause after a failure. */
  readonly retryMs?: number
}

/** About 5,000 lines: what a reader that pauses for a moment may leave unread. */
const MAX_WAITING = 1_048_576
const RETRY_MS = 1_000
/** A full pipe that somebody else has made non-blocking is tried again after this pause. */
const AGAIN_MS = 50

/** Bytes taken, 0 when the descriptor cannot take any now, undefined when it failed. */
const writeSome = (fd: number, bytes: Uint8Array): Promise<number | undefined> =>
  new Promise(resolve => {
    // A thread of the runtime's pool waits for a stuck reader; the event loop goes on.
    write(fd, bytes, 0, bytes.length, null, (error, taken) => {
      if (error === null || error === undefined) resolve(taken)
      else resolve(error.code === 'EAGAIN' ? 0 : undefined)
    })
  })

/** Resolves with the number of bytes written: fewer than given when the descriptor failed. */
export async function writeAll(fd: number, bytes: Uint8Array): Promise<number> {
  let done = 0
  while (done < bytes.length) {
    const taken = await writeSome(fd, bytes.subarray(done))
    if (taken === undefined) return done
    if (taken === 0) await Bun.sleep(AGAIN_MS)
    done += taken
  }
  return done
}

/** How many of the lines lie within the first `bytes`, and where the last of them ends. */
function wholeLines(
  lines: readonly string[],
  bytes: number,
): { readonly count: number; readonly end: number } {
  let end = 0
  for (const [count, line] of lines.entries()) {
    const next = end + Buffer.byteLength(line)
    if (next > bytes) return { count, end }
    end = next
  }
  return { count: lines.length, end }
}

/** One write is under way at a time; lines that arrive meanwhile share the next one. */
export function createLineWriter({
  fd,
  noteOf,
  maxWaiting = MAX_WAITING,
  retryMs = RETRY_MS,
}: LineWriterOptions): LineWriter {
  let waiting: string[] = []
  /** UTF-16 units of `waiting` and of the write under way. */
  let held = 0
  let dropped = 0
  /** Dropped lines that no note has told yet. */
  let untold = 0
  /** A failed write ended inside a line. */
  let isTorn = false
  let running: Promise<void> | undefined

  const drop = (count: number): void => {
    dropped += count
    untold += count
  }

  /** False when the descriptor failed. */
  const writeBatch = async (lines: readonly string[], note: string): Promise<boolean> => {
    const start = isTorn ? '\n' : ''
    const bytes = Buffer.from(start + lines.join('') + note)
    const done = await writeAll(fd, bytes)
    if (done === bytes.length) {
      isTorn = false
      return true
    }
    const { count, end } = wholeLines(lines, done - start.length)
    isTorn = done === 0 ? isTorn : done - start.length > end
    drop(lines.length - count)
    return false
  }

  const run = async (): Promise<void> => {
    while (waiting.length > 0 || untold > 0) {
      const [lines, missing] = [waiting, untold]
      const taken = held
      waiting = []
      untold = 0
      const works = await writeBatch(lines, missing > 0 ? await noteOf(missing) : '')
      held -= taken
      if (works) continue
      untold += missing
      await Bun.sleep(retryMs)
    }
    running = undefined
  }

  return {
    write: line => {
      if (held + line.length > maxWaiting) return drop(1)
      held += line.length
      waiting.push(line)
      running ??= run()
    },
    get dropped() {
      return dropped
    },
    flush: async ms => {
      await Promise.race([running, Bun.sleep(ms)])
    },
  }
}
