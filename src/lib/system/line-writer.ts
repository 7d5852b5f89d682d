import { write } from 'node:fs'

/** Writes lines to a descriptor: never waits, never throws, and counts the lines it dropped. */
export interface LineWriter {
  /** `line` ends with a line feed. */
  write(line: string): void
  /** Lines lost because the descriptor failed or its reader was too slow. */
  readonly dropped: number
  /** Resolves when every line is written, or after `ms`. */
  flush(ms: number): Promise<void>
}

interface LineWriterOptions {
  readonly fd: number
  /** Makes the line with the number of missing lines; written when writing works again. */
  readonly noteOf: (dropped: number) => Promise<string>
  /** Limits the waiting text, in UTF-16 units. Only tests set it. */
  readonly maxWaiting?: number
  /** Pause after a failure, milliseconds. Only tests set it. */
  readonly retryMs?: number
}

/** About 5,000 lines, enough for a reader that pauses briefly. */
const MAX_WAITING = 1_048_576
const RETRY_MS = 1_000
/** Pause before the next write to a full pipe that another process made non-blocking. */
const AGAIN_MS = 50

/** Returns the bytes written, 0 if the descriptor is full, undefined if it failed. */
const writeSome = (fd: number, bytes: Uint8Array): Promise<number | undefined> =>
  new Promise(resolve => {
    // A thread of the pool waits for a stuck reader; the event loop continues.
    write(fd, bytes, 0, bytes.length, null, (error, taken) => {
      if (error === null || error === undefined) resolve(taken)
      else resolve(error.code === 'EAGAIN' ? 0 : undefined)
    })
  })

/** Resolves with the bytes written; fewer than given if the descriptor failed. */
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

/** Counts the lines within the first `bytes`, and finds the end of the last one. */
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

/** Runs one write at a time; lines that arrive meanwhile share the next write. */
export function createLineWriter({
  fd,
  noteOf,
  maxWaiting = MAX_WAITING,
  retryMs = RETRY_MS,
}: LineWriterOptions): LineWriter {
  let waiting: string[] = []
  /** UTF-16 units of `waiting` and of the current write. */
  let held = 0
  let dropped = 0
  /** Dropped lines that no note has reported yet. */
  let untold = 0
  /** True if a failed write ended inside a line. */
  let isTorn = false
  let running: Promise<void> | undefined

  const drop = (count: number): void => {
    dropped += count
    untold += count
  }

  /** Resolves with false if the descriptor failed. */
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
