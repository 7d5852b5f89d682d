import { Database, SQLiteError } from 'bun:sqlite'
import { closeSync, openSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigError } from '../../config/config.ts'
import { kindOf } from './faults.ts'
import { createFileWatch, type FileIdentity, forgetOpened, rememberOpened } from './file-watch.ts'
import { type Lives, newName } from './life.ts'
import type { KnownTime } from './resume-clock.ts'
import { APPLICATION_ID, STEPS } from './schema.ts'

export type Sync = 'full' | 'normal'

/** An open store file: checked, of this version, and locked for this process. */
export interface StoreFile extends Disposable {
  readonly path: string
  readonly lives: Lives
  /** A read-only connection. */
  readonly reader: Database
  readonly opened: FileIdentity
  readonly knownTime: KnownTime
}

/** Larger files are not checked: the start would take too long. */
const MAX_CHECKED_BYTES = 256 * 1024 * 1024
const KEPT_LIVES = 9
/** A backup in progress locks the file for moments. */
const BUSY_MS = 2_000
const BOOT_ID = '/proc/sys/kernel/random/boot_id'
/** Payloads are private. SQLite gives -wal and -shm the mode of their file. */
const PRIVATE = 0o600

/** Expectations for the error text, by SQLite error code. */
const EXPECTED: Readonly<Record<string, string>> = {
  SQLITE_NOTADB: 'a SQLite file',
  SQLITE_CORRUPT: 'an undamaged SQLite file',
  SQLITE_BUSY: 'a file that no other process has open',
}

const refuse = (expected: string, cause?: unknown): ConfigError =>
  new ConfigError(`STORE_URL: expected ${expected}`, { cause })

export function refusalOf(error: unknown): unknown {
  if (error instanceof ConfigError) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'fault'
  const known = error instanceof SQLiteError ? EXPECTED[kindOf(code)] : undefined
  return refuse(known ?? `a file that can be created, read and written (${code})`, error)
}

/** Creates the file first, because SQLite would choose its own mode. */
export function touch(path: string): void {
  closeSync(openSync(path, 'a', PRIVATE))
}

const open = (path: string): Database => {
  touch(path)
  return new Database(path, { strict: true, readwrite: true, create: true })
}

/** Locks until the process ends. A separate file, because the reader needs a second connection to the store file. */
export function lock(path: string): Database {
  const held = open(`${path}.lock`)
  try {
    held.run('PRAGMA busy_timeout = 0')
    held.run('BEGIN EXCLUSIVE')
    return held
  } catch (error) {
    held.close()
    throw error
  }
}

const pragma = (db: Database, name: string): unknown =>
  Object.values(db.query<Record<string, unknown>, []>(`PRAGMA ${name}`).get() ?? {})[0]

/** Throws for a damaged file. Returns false for a file that is too large to be checked. */
export function checkWhole(db: Database, path: string): boolean {
  if (statSync(path).size > MAX_CHECKED_BYTES) return false
  if (pragma(db, 'quick_check(1)') !== 'ok') throw refuse('an undamaged SQLite file')
  return true
}

/** Returns the version of a file of this service, or 0 for an empty file. */
export function versionOf(db: Database): number {
  const version = Number(pragma(db, 'user_version'))
  const isOurs = pragma(db, 'application_id') === APPLICATION_ID
  const isEmpty = db.query('SELECT 1 FROM sqlite_schema').get() === null
  if (!isOurs && !isEmpty) throw refuse('a file of this service, or none')
  if (version > STEPS.length) throw refuse('a file of this version or an older one, not of a newer one')
  return version
}

/** Runs in one transaction, so that an interrupted start leaves the file as it was. */
function migrate(db: Database): void {
  for (const step of STEPS.slice(versionOf(db))) db.run(step)
  db.run(`PRAGMA application_id = ${APPLICATION_ID}`)
  db.run(`PRAGMA user_version = ${STEPS.length}`)
}

/** Facts that tell a file from its copies, and detect a restart of the system. */
interface FileOrigin {
  readonly device: string
  readonly inode: string
  /** Birth time: a freed inode is soon used again. */
  readonly born: string
  readonly boot: string
  readonly sync: Sync
}

function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim()
  } catch {
    // Unknown whether the system restarted: assume it did.
    return crypto.randomUUID()
  }
}

function originOf(path: string, sync: Sync): FileOrigin {
  const { dev, ino, birthtimeNs } = statSync(path, { bigint: true })
  return { device: `${dev}`, inode: `${ino}`, born: `${birthtimeNs}`, boot: bootId(), sync }
}

/** Without an fsync before each answer, a system crash may have lost the last answers. */
const isSameLife = (before: FileOrigin, now: FileOrigin): boolean =>
  before.device === now.device &&
  before.inode === now.inode &&
  before.born === now.born &&
  (before.sync === 'full' || before.boot === now.boot)

interface Life {
  readonly number: number
  readonly name: string
}

interface ServiceRow extends FileOrigin {
  readonly life: number
  readonly jumped: number
  readonly seen_at: number
  readonly ahead: number | null
}

/** A restored copy may have lost its tail and grown past it again. Its numbers prove nothing, so it is a new life. */
function beginLife(db: Database, last: number, now: FileOrigin): void {
  const name = newName()
  const number = last + 1
  const { device, inode, born, boot, sync } = now
  const values = [number, name, device, inode, born, boot, sync]
  if (last === 0)
    db.run(
      'INSERT INTO service (life, epoch, device, inode, born, boot, sync) VALUES (?, ?, ?, ?, ?, ?, ?)',
      values,
    )
  else
    db.run(
      'UPDATE service SET life = ?, epoch = ?, device = ?, inode = ?, born = ?, boot = ?, sync = ?',
      values,
    )
  db.run('INSERT INTO lives VALUES (?, ?)', [number, name])
  db.run('DELETE FROM lives WHERE number <= ?', [number - KEPT_LIVES])
}

const livesOf = (db: Database): Lives => {
  const lives = db.query<Life, []>('SELECT number, name FROM lives ORDER BY number').all()
  return { number: lives.at(-1)?.number ?? 0, names: lives.map(({ name }) => name) }
}

/** The last entry may be newer than the last stored time. */
function knownTimeOf(db: Database, before: ServiceRow | null, now: FileOrigin): KnownTime {
  const last = db.query<{ at: number }, []>('SELECT at FROM entries ORDER BY n DESC LIMIT 1').get()
  const ahead = before?.boot === now.boot ? before.ahead : null
  return {
    jumped: before?.jumped ?? 0,
    seenAt: Math.max(before?.seen_at ?? 0, last?.at ?? 0),
    ahead: ahead ?? undefined,
  }
}

interface FileState {
  readonly lives: Lives
  readonly knownTime: KnownTime
}

function continueLife(db: Database, now: FileOrigin): FileState {
  const before = db.query<ServiceRow, []>('SELECT * FROM service').get()
  if (before === null || !isSameLife(before, now)) beginLife(db, before?.life ?? 0, now)
  else db.run('UPDATE service SET boot = ?, sync = ?', [now.boot, now.sync])
  return { lives: livesOf(db), knownTime: knownTimeOf(db, before, now) }
}

function prepare(path: string, sync: Sync): FileState & { readonly db: Database } {
  const db = open(path)
  try {
    db.run(`PRAGMA busy_timeout = ${BUSY_MS}`)
    // Checks that the file is ours before any change.
    versionOf(db)
    db.run('PRAGMA journal_mode = WAL')
    db.run('PRAGMA synchronous = FULL')
    checkWhole(db, path)
    const begin = db.transaction(() => {
      migrate(db)
      return continueLife(db, originOf(path, sync))
    })
    const prepared = begin.exclusive()
    db.run('PRAGMA query_only = ON')
    return { db, ...prepared }
  } catch (error) {
    db.close()
    throw error
  }
}

/** The last close checkpoints the log. A truncated log would bring half a commit into the file. */
function close(reader: Database, opened: FileIdentity): void {
  if (createFileWatch(opened).look() === 'log cut') return
  reader.close()
  forgetOpened(opened)
}

/** Throws ConfigError for a file that the service must not start with. */
export function openFile(given: string, sync: Sync): StoreFile {
  using stack = new DisposableStack()
  try {
    touch(resolve(given))
    // Resolves links, because the lock file stands beside the real file.
    const path = realpathSync(given)
    stack.adopt(lock(path), held => held.close())
    const { db, lives, knownTime } = prepare(path, sync)
    using closing = new DisposableStack()
    closing.adopt(db, reader => reader.close())
    const opened = rememberOpened(path)
    closing.move()
    stack.defer(() => close(db, opened))
    const owned = stack.move()
    return { path, lives, knownTime, reader: db, opened, [Symbol.dispose]: () => owned.dispose() }
  } catch (error) {
    throw refusalOf(error)
  }
}
