import { Database } from 'bun:sqlite'
import type { Batch, Reply, ToWorker, WorkerSetup } from './batch.ts'
import { isAway } from './faults.ts'
import { type Absence, createPresence, type Presence, REASONS } from './presence.ts'
import { type CarryOut, createWriter } from './writer.ts'

declare const self: Worker

/** Size of SQLite's page cache: a negative number is in KiB. */
const CACHE = -32_000
/** SQLite checkpoints the log when it reaches about 16 MiB. */
const CHECKPOINT_PAGES = 4_000
const MAX_LOG_BYTES = 64 * 1024 * 1024

/** A file that is written while its name leads to it. */
interface OpenFile {
  readonly db: Database
  readonly carryOut: CarryOut
  readonly presence: Presence
}

let setup: WorkerSetup | undefined
let open: OpenFile | undefined
/** The problem found at the last look, and whether its data is rescued. */
let absence: Absence | undefined
let isRescued = false

function connect({ opened, synchronous, limits, lives, givenUp, work }: WorkerSetup): OpenFile | undefined {
  const presence = createPresence(opened)
  // Never touches another file that has taken its place.
  absence = presence.look()
  if (absence !== undefined) return undefined
  const db = new Database(opened.path, { strict: true, readwrite: true })
  db.run('PRAGMA busy_timeout = 0')
  db.run(`PRAGMA synchronous = ${synchronous}`)
  db.run(`PRAGMA cache_size = ${CACHE}`)
  db.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  db.run(`PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`)
  const through = new BigInt64Array(givenUp)
  const done = new BigInt64Array(work)
  const carryOut = createWriter({
    db,
    lives,
    limits,
    givenUp: () => Number(Atomics.load(through, 0)),
    onWork: () => void Atomics.add(done, 0, 1n),
  })
  return { db, carryOut, presence }
}

const failure = (error: unknown): Reply =>
  isAway(error) ? { type: 'failed', reason: error.message } : { type: 'failed', fault: error }

/** Whether the file is in place. If not, saves its data to where a restart finds it. */
function isThere({ db, presence }: OpenFile): boolean {
  const found = presence.look()
  if (found !== absence) isRescued = false
  absence = found
  if (absence === undefined || isRescued) return absence === undefined
  try {
    isRescued = presence.rescue(db, absence)
  } catch (error) {
    // The next batch tries again.
    if (!isAway(error)) throw error
  }
  return false
}

const astray = (): Reply => ({
  type: 'failed',
  reason: absence === undefined ? 'the file is away' : REASONS[absence],
})

/** Opens the file again if that failed before. */
function replyToBatch(batch: Batch): Reply {
  try {
    if (setup === undefined) throw new Error('a batch came before the file was named')
    open ??= connect(setup)
    if (open === undefined || !isThere(open)) return astray()
    // A file moved during the write is noticed at the next batch, and rescued then.
    return open.carryOut(batch)
  } catch (error) {
    return failure(error)
  }
}

function begin(given: WorkerSetup): void {
  setup = given
  try {
    open = connect(given)
  } catch {
    // The first batch tries again, and its answer tells the reason.
  }
}

function replyTo(message: ToWorker): Reply | undefined {
  switch (message.type) {
    case 'open':
      return void begin(message)
    case 'batch':
      return replyToBatch(message)
    case 'close':
      open?.db.close()
      return { type: 'closed' }
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const reply = replyTo(data)
  if (reply !== undefined) self.postMessage(reply)
}
