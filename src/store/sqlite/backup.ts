import { Database } from 'bun:sqlite'
import { closeSync, existsSync, fsyncSync, openSync, realpathSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../../config/config.ts'
import { checkWhole, lock, refusalOf, touch, versionOf } from './file.ts'

/** How long a backup waits for commits of a running service, milliseconds. */
const BUSY_MS = 10_000
/** Payloads are private, whatever mode the backup file had. */
const PRIVATE = 0o600

function sync(path: string): void {
  const descriptor = openSync(path, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

/** Throws when the service would not start with this backup. */
function check(path: string): void {
  try {
    using db = new Database(path, { readonly: true })
    versionOf(db)
    checkWhole(db, path)
  } catch (error) {
    const refusal = refusalOf(error)
    throw refusal instanceof ConfigError
      ? new ConfigError(refusal.message.replace('STORE_URL', 'restore'))
      : refusal
  }
}

/** Writes a consistent copy of a store file to a path without a file. A service may have the store open. */
export async function backUp(store: string, copy: string): Promise<void> {
  if (!existsSync(store)) throw new ConfigError(`STORE_URL: expected a file that exists (${store})`)
  if (existsSync(copy)) throw new ConfigError(`backup: expected a path where nothing is yet (${copy})`)
  try {
    using db = new Database(store, { readonly: true })
    db.run(`PRAGMA busy_timeout = ${BUSY_MS}`)
    versionOf(db)
    // An existing empty file keeps its mode.
    touch(copy)
    db.run('VACUUM INTO ?', [copy])
    sync(copy)
  } catch (error) {
    await rm(copy, { force: true })
    throw refusalOf(error)
  }
}

/** Replaces the store file with the content of a backup. No service may have the store open. */
export async function restore(store: string, backup: AsyncIterable<Uint8Array>): Promise<void> {
  let next: string | undefined
  try {
    touch(store)
    const path = realpathSync(store)
    using _held = lock(path)
    next = `${path}.restoring`
    await rm(next, { force: true })
    await writeFile(next, backup, { mode: PRIVATE })
    check(next)
    sync(next)
    // Deletes the old log first: SQLite would apply it to the new file.
    for (const suffix of ['-wal', '-shm']) await rm(path + suffix, { force: true })
    // A new file under the old name: the service notices the replacement.
    await rename(next, path)
    sync(dirname(path))
  } catch (error) {
    if (next !== undefined) await rm(next, { force: true })
    throw refusalOf(error)
  }
}
