import { SQLiteError } from 'bun:sqlite'
import { StoreAway } from '../../errors.ts'

/** SQLite errors for a file that cannot be reached, read or written. Any other error is a fault of our code. */
const AWAY = [
  'BUSY',
  'LOCKED',
  'FULL',
  'IOERR',
  'CANTOPEN',
  'READONLY',
  'PERM',
  'CORRUPT',
  'NOTADB',
  'NOMEM',
  'PROTOCOL',
]

/** `SQLITE_IOERR_WRITE` is a kind of `SQLITE_IOERR`. */
export const kindOf = (code: string): string => code.split('_', 2).join('_')

/** An error of a system call, such as ENOENT, EACCES, EROFS, EIO or ENOSPC. */
const isSystemError = (error: Error): boolean => 'syscall' in error && 'errno' in error

/** Whether the error means that the file or its directory is away, whatever reports it. */
export const isAway = (error: unknown): error is Error =>
  error instanceof SQLiteError
    ? AWAY.some(kind => kindOf(error.code ?? '') === `SQLITE_${kind}`)
    : error instanceof Error && isSystemError(error)

/** Runs a read; rejects with StoreAway when the file cannot be read. */
export const runRead = <T>(read: () => T): T => {
  try {
    return read()
  } catch (error) {
    throw isAway(error) ? new StoreAway(error.message, { cause: error }) : error
  }
}

/** Makes a fault an unhandled rejection, whose handler counts and logs it. */
export const raiseUnhandled = (error: unknown): void => void Promise.reject(error)
