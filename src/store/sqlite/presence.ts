import type { Database } from 'bun:sqlite'
import { closeSync, linkSync, openSync, readSync, rmSync, type Stats, statSync } from 'node:fs'

/** One file, whatever its name. */
interface Inode {
  readonly dev: number
  readonly ino: number
}

/** The files that were opened, so that later looks can tell whether their names still lead to them. */
export interface FileIdentity {
  readonly path: string
  readonly file: Inode
  readonly log: Inode
  /** Descriptor of the `-shm`, which says how long file and log must be. Closing it early would drop SQLite's locks. */
  readonly index: number
}

export type Absence =
  /** Nothing bears the file's name. */
  | 'gone'
  | 'replaced'
  /** The `-wal` is not the one that was opened. */
  | 'log gone'
  /** File or log is shorter than what was written. */
  | 'file cut'
  | 'log cut'

/** What the log says, and what an operator can do. */
export const REASONS: Readonly<Record<Absence, string>> = {
  gone: 'the file was moved or deleted: move it back, or restart the service with the copy made under its name',
  replaced:
    'another file has taken its place: move the former one back, or restart the service with the other',
  'log gone': 'the -wal beside the file was moved or deleted: restart the service, the file holds everything',
  'file cut': 'the file was truncated: restart the service, and restore a backup if it does not start',
  'log cut': 'the -wal beside the file was truncated: restart the service; the last sends may be lost',
}

/** Looks at the names of opened files. */
export interface Presence {
  /** Undefined when all names lead to what was opened, and nothing is missing. */
  look(): Absence | undefined
  /** Brings what only the open files hold to where a restart finds it; whether that is done. */
  rescue(db: Database, absence: Absence): boolean
}

/** Wal-index header and checkpoint info (sqlite.org/walformat.html §2.2). */
const INDEX_BYTES = 48
const PAGE_SIZE = 7
const FRAMES = 4
const PAGES = 5
const LOG_HEADER = 32
const FRAME_HEADER = 24
/** How long emptying the log may wait for readers, milliseconds. */
const BUSY_MS = 1_000

const inodeOf = ({ dev, ino }: Stats): Inode => ({ dev, ino })
const lookUp = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false })
const isSame = (a: Inode, b: Inode): boolean => a.dev === b.dev && a.ino === b.ino

/** Remembers which files a connection has open. Close `index` after every connection to the file. */
export function rememberOpened(path: string): FileIdentity {
  const file = inodeOf(statSync(path))
  const log = inodeOf(statSync(`${path}-wal`))
  return { path, file, log, index: openSync(`${path}-shm`, 'r') }
}

export const forgetOpened = ({ index }: FileIdentity): void => closeSync(index)

export function createPresence({ path, file, log, index }: FileIdentity): Presence {
  const logPath = `${path}-wal`
  const words = new Uint16Array(INDEX_BYTES / 2)
  const numbers = new Uint32Array(words.buffer)
  let size = 0
  let cut: Absence | undefined
  /** What `rescue` put in the place of a file that was gone. */
  let copy: Inode | undefined

  /** Bytes that file and log hold according to SQLite; it writes the log's header anew before it truncates the log. */
  const expected = (): { readonly fileBytes: number; readonly logBytes: number } => {
    readSync(index, words, 0, INDEX_BYTES, 0)
    // 1 stands for 65,536.
    const stored = words[PAGE_SIZE] ?? 0
    const page = (stored & 0xfe00) + ((stored & 1) << 16)
    const frames = numbers[FRAMES] ?? 0
    return {
      fileBytes: (numbers[PAGES] ?? 0) * page,
      logBytes: frames === 0 ? 0 : LOG_HEADER + frames * (FRAME_HEADER + page),
    }
  }

  const look = (): Absence | undefined => {
    if (cut !== undefined) return cut
    const atFile = lookUp(path)
    if (atFile === undefined || (copy !== undefined && isSame(atFile, copy))) return 'gone'
    if (!isSame(atFile, file)) return 'replaced'
    const atLog = lookUp(logPath)
    if (atLog === undefined || !isSame(atLog, log)) return 'log gone'
    const { fileBytes, logBytes } = expected()
    if (atLog.size < logBytes) cut = 'log cut'
    // The newest pages may still be in the log alone, so the file need not be complete; but it must not shrink.
    else if (atFile.size < Math.min(size, fileBytes)) cut = 'file cut'
    size = atFile.size
    return cut
  }

  return {
    look,
    rescue: (db, absence) => {
      // Half a commit would go into the file with it; the next start reads the whole ones.
      if (absence === 'log cut') return true
      if (!emptyLog(db)) return false
      if (absence !== 'gone' || copy !== undefined) return true
      const part = copyOf(db, path)
      // Unlike a rename it leaves alone what has been put there meanwhile.
      if (lookUp(path) === undefined) linkSync(part, path)
      copy = inodeOf(statSync(part))
      rmSync(part)
      return true
    },
  }
}

/** Brings the log into the file; an emptied one cannot be mistaken for that of another file. */
function emptyLog(db: Database): boolean {
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`)
  try {
    return db.query<{ busy: number }, []>('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0
  } finally {
    db.run('PRAGMA busy_timeout = 0')
  }
}

/** Writes a whole copy, for the owner only, beside the file. */
function copyOf(db: Database, path: string): string {
  const part = `${path}.copy`
  rmSync(part, { force: true })
  closeSync(openSync(part, 'wx', 0o600))
  db.run('VACUUM INTO ?', [part])
  return part
}
