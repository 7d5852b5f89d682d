import { Database, constants as sqlite } from 'bun:sqlite'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readlinkSync,
  realpathSync,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Config } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { checkWhole, lock, refusalOf, versionOf } from '../../store/sqlite/file.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const CHECK = 'store file'
const MIB = 1024 * 1024
const LOW_BYTES = 256 * MIB
const FULL_BYTES = 16 * MIB

const isWritable = (path: string): boolean => {
  try {
    accessSync(path, constants.W_OK | constants.R_OK)
    return true
  } catch {
    return false
  }
}

/** Bytes that the service may still write there. */
function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

function checkSpace(free: number): Finding {
  const message = `${Math.floor(free / MIB)} MiB free`
  if (free >= LOW_BYTES) return ok(CHECK, message)
  const advice = 'free space on this volume: sends to users get 503 when it is full'
  return free < FULL_BYTES ? fail(CHECK, message, advice) : warn(CHECK, message, advice)
}

/** Creates a file, because permissions do not show a read-only volume. */
function isDirectoryWritable(directory: string): boolean {
  const path = join(directory, `.doctor-${crypto.randomUUID()}`)
  try {
    closeSync(openSync(path, 'wx'))
    unlinkSync(path)
    return true
  } catch {
    return false
  }
}

/** Tells whether another process holds the lock beside the file. */
function isLocked(path: string): boolean {
  if (!existsSync(`${path}.lock`)) return false
  try {
    lock(path).close()
    return false
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('SQLITE_BUSY')) return true
    throw error
  }
}

/** Next steps, by the text with which the service would refuse the file. */
const ADVICE: readonly (readonly [refusal: RegExp, advice: string])[] = [
  [/no other process has open/, 'end the program that has it open (fuser names it)'],
  [/a file of this service/, 'correct STORE_URL: the file belongs to another program'],
  [/not of a newer one/, 'start the newer version of the service that wrote it'],
]

const adviceFor = (refusal: string): string =>
  ADVICE.find(([pattern]) => pattern.test(refusal))?.[1] ??
  'move the file away, then restore a backup with "restore <file>"'

/** Follows a symbolic link, also to a file that does not exist yet. */
function targetOf(path: string): string {
  if (existsSync(path)) return path
  try {
    return resolve(dirname(path), readlinkSync(path))
  } catch {
    return path
  }
}

/** Opens a file for reading. Without a write-ahead log nothing may be created beside it: `immutable` prevents that. */
function openForReading(path: string): Database {
  if (existsSync(`${path}-wal`)) return new Database(path, { readonly: true })
  const flags = sqlite.SQLITE_OPEN_READONLY | sqlite.SQLITE_OPEN_URI
  return new Database(`${pathToFileURL(path).href}?immutable=1`, flags)
}

/** `isServiceHere` is undefined if unknown. */
function checkContent(path: string, isServiceHere: boolean | undefined): Finding {
  try {
    const isOpen = isLocked(path)
    if (isOpen && isServiceHere === false)
      return fail(
        CHECK,
        `${path} is open in another process, and no service answers on SERVER_PORT`,
        `end that process (fuser ${path}.lock names it), or correct STORE_URL or SERVER_PORT`,
      )
    using db = openForReading(path)
    const isEmpty = versionOf(db) === 0
    const whole = checkWhole(db, path) ? 'whole' : 'too large to be checked for damage'
    const use = isOpen ? 'a running service has it open' : 'no process has it open'
    return ok(CHECK, `${path} is ${isEmpty ? 'empty' : whole}, ${use}`)
  } catch (error) {
    const refusal = errorLine(refusalOf(error))
    return fail(CHECK, refusal, adviceFor(refusal))
  }
}

/** Checks the file of a SQLite store, which a service may have open. */
export function checkStoreFile(
  { storeUrl }: Pick<Config, 'storeUrl'>,
  isServiceHere?: boolean,
  freeIn = freeBytes,
): readonly Finding[] {
  if (storeUrl.kind !== 'sqlite') return []
  const given = targetOf(resolve(storeUrl.path))
  const directory = dirname(given)
  const advice = 'create it and make it writable for the user of the service'
  if (!existsSync(directory)) return [fail(CHECK, `the directory ${directory} does not exist`, advice)]
  const [isFolder, isFile] = [
    statSync(directory).isDirectory(),
    !existsSync(given) || statSync(given).isFile(),
  ]
  if (!isFolder || !isFile)
    return [fail(CHECK, `${given} cannot be a file`, 'name a file in a directory in STORE_URL')]
  if (!isDirectoryWritable(directory))
    return [fail(CHECK, `the directory ${directory} is not writable`, advice)]
  const space = checkSpace(freeIn(directory))
  if (!existsSync(given) || statSync(given).size === 0)
    return [ok(CHECK, `${given} does not exist yet: the service creates it`), space]
  const path = realpathSync(given)
  if (!isWritable(path))
    return [fail(CHECK, `${path} is not writable`, 'make it writable for the user of the service'), space]
  return [checkContent(path, isServiceHere), space]
}
