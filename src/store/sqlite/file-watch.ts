import type { Database } from 'bun:sqlite'
import { closeSync, linkSync, openSync, readSync, renameSync, rmSync, type Stats, statSync } from 'node:fs'
import { isAway } from './faults.ts'

/** Identity of a file, whatever its name. */
interface Inode {
  readonly dev: number
  readonly ino: number
}

/** Identity of the opened files, to detect later that a name leads to another file. */
export interface FileIdentity {
  readonly path: string
  readonly file: Inode
  readonly log: Inode
  /** Descriptor of the `-shm`, which records the lengths of file and log. Closing it early would drop SQLite's locks. */
  readonly index: number
}

export type FileProblem =
  /** No file has the name. */
  | 'gone'
  | 'replaced'
  /** The `-wal` is not the opened one. */
  | 'log gone'
  /** File or log is shorter than the data written to it. */
  | 'file cut'
  | 'log cut'
  /** The system refuses to tell, for example without permission for the directory. */
  | 'unreachable'

/** Reason for the log line, with the action an operator can take. */
export const REASONS: Readonly<Record<FileProblem, string>> = {
  gone: 'the file was moved or deleted: move it back, or restart the service with the copy made under its name',
  replaced:
    'another file has taken its place: move the original back, or restart the service to use the new one',
  'log gone': 'the -wal beside the file was moved or deleted: restart the service, the file holds everything',
  'file cut': 'the file was truncated: restart the service, and restore a backup if it does not start',
  'log cut': 'the -wal beside the file was truncated: restart the service; the last sends may be lost',
  unreachable: 'the file cannot be reached: check the permissions and the mount of its directory',
}

/** Checks the names of opened files. */
export interface FileWatch {
  /** Returns the problem; undefined when all names lead to the opened files and nothing is missing. */
  look(): FileProblem | undefined
  /** Saves data that only the open files hold to where a restart finds it. Returns whether that is complete. */
  rescue(db: Database, problem: FileProblem): boolean
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

export function createFileWatch({ path, file, log, index }: FileIdentity): FileWatch {
  const logPath = `${path}-wal`
  const words = new Uint16Array(INDEX_BYTES / 2)
  const numbers = new Uint32Array(words.buffer)
  let size = 0
  let cut: FileProblem | undefined
  /** The copy that `rescue` made in place of a missing file. */
  let copy: Inode | undefined

  /** Bytes that file and log must have. SQLite rewrites the log's header before it truncates the log. */
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

  const check = (): FileProblem | undefined => {
    if (cut !== undefined) return cut
    const atFile = lookUp(path)
    if (atFile === undefined || (copy !== undefined && isSame(atFile, copy))) return 'gone'
    if (!isSame(atFile, file)) return 'replaced'
    const atLog = lookUp(logPath)
    if (atLog === undefined || !isSame(atLog, log)) return 'log gone'
    const { fileBytes, logBytes } = expected()
    if (atLog.size < logBytes) cut = 'log cut'
    // The newest pages may exist only in the log, so the file may be incomplete. But it must not shrink.
    else if (atFile.size < Math.min(size, fileBytes)) cut = 'file cut'
    size = atFile.size
    return cut
  }

  const look = (): FileProblem | undefined => {
    try {
      return check()
    } catch (error) {
      if (isAway(error)) return 'unreachable'
      throw error
    }
  }

  return {
    look,
    rescue: (db, problem) => {
      // A checkpoint would write half a commit to the file. The next start reads the whole commits.
      if (problem === 'log cut') return true
      if (!emptyLog(db)) return false
      if (problem !== 'gone' || copy !== undefined) return true
      const part = copyOf(db, path)
      copy = inodeOf(statSync(part))
      if (lookUp(path) === undefined) giveName(part, path)
      rmSync(part, { force: true })
      return true
    },
  }
}

/** Checkpoints and empties the log. An empty log cannot be mistaken for another file's log. */
function emptyLog(db: Database): boolean {
  db.run(`PRAGMA busy_timeout = ${BUSY_MS}`)
  try {
    return db.query<{ busy: number }, []>('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0
  } finally {
    db.run('PRAGMA busy_timeout = 0')
  }
}

/** Renames. A link, unlike a rename, never overwrites a file that appeared meanwhile. */
function giveName(part: string, path: string): void {
  try {
    linkSync(part, path)
  } catch (error) {
    if (!isAway(error)) throw error
    // Some file systems have no hard links.
    if (lookUp(path) === undefined) renameSync(part, path)
  }
}

/** Writes a complete copy beside the file, readable only by its owner. */
function copyOf(db: Database, path: string): string {
  const part = `${path}.copy`
  rmSync(part, { force: true })
  closeSync(openSync(part, 'wx', 0o600))
  db.run('VACUUM INTO ?', [part])
  return part
}
