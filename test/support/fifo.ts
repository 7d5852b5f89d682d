import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Pipe with both ends controlled by a test. */
export interface Fifo {
  readonly path: string
  /** Blocking write end, like the stdout that a shell gives a program. */
  readonly writeEnd: number
  /** Fills the pipe with zeros, so that the next writer waits. Readers do not see them. */
  fill(): void
  /** Resolves with this many bytes. */
  read(bytes: number): Promise<string>
  /** Resolves with the text once it ends with `end`. */
  until(end: string): Promise<string>
  /** Resolves with the text once it matches. */
  untilMatch(pattern: RegExp): Promise<string>
  closeReadEnd(): void
  openReadEnd(): void
  close(): void
}

const NON_BLOCKING = constants.O_NONBLOCK
const GIVE_UP_MS = 15_000

export function createFifo(folder: string): Fifo {
  const path = join(folder, crypto.randomUUID())
  if (!Bun.spawnSync(['mkfifo', path]).success) throw new Error(`no pipe at ${path}`)
  const openRead = () => openSync(path, constants.O_RDONLY | NON_BLOCKING)
  let readEnd: number | undefined = openRead()
  const writeEnd = openSync(path, constants.O_WRONLY)
  const [piece, zeros] = [Buffer.alloc(65_536), Buffer.alloc(65_536)]

  const take = (): string => {
    try {
      const length = readEnd === undefined ? 0 : readSync(readEnd, piece)
      return piece.toString('utf8', 0, length).replaceAll('\0', '')
    } catch {
      return ''
    }
  }
  const collect = async (isDone: (text: string) => boolean): Promise<string> => {
    const endsAt = performance.now() + GIVE_UP_MS
    let text = ''
    while (!isDone(text)) {
      text += take()
      if (performance.now() > endsAt) throw new Error(`only ${JSON.stringify(text.slice(0, 500))} came`)
      await Bun.sleep(1)
    }
    return text
  }
  const closeReadEnd = (): void => {
    if (readEnd !== undefined) closeSync(readEnd)
    readEnd = undefined
  }

  return {
    path,
    writeEnd,
    fill: () => {
      const filler = openSync(path, constants.O_WRONLY | NON_BLOCKING)
      try {
        for (;;) writeSync(filler, zeros)
      } catch {
        closeSync(filler)
      }
    },
    read: bytes => collect(text => Buffer.byteLength(text) >= bytes),
    until: end => collect(text => text.endsWith(end)),
    untilMatch: pattern => collect(text => pattern.test(text)),
    closeReadEnd,
    openReadEnd: () => {
      readEnd ??= openRead()
    },
    close: () => {
      closeReadEnd()
      closeSync(writeEnd)
    },
  }
}
