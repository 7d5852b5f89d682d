import { Database } from 'bun:sqlite'
import type { Batch, Reply, ToWorker, WorkerSetup } from './batch.ts'
import { isAway } from './faults.ts'
import { type Absence, createPresence, type Presence, REASONS } from './presence.ts'
import { type CarryOut, createWriter } from './writer.ts'

declare const self: Worker

/** Pages at hand, in KiB when negative. */
const CACHE = -32_000
/** The log grows to about 16 MiB before it is brought into the file. */
const CHECKPOINT_PAGES = 4_000
const MAX_LOG_BYTES = 64 * 1024 * 1024

/** One file, written as long as its name leads to it. */
interface OpenFile {
  readonly db: Database
  readonly carryOut: CarryOut
  readonly presence: Presence
}

let setup: WorkerSetup | undefined
let open: OpenFile | undefined
/** What was found, and whether all that could be done about it is done. */
let absence: Absence | undefined
let isRescued = false

function connect({ opened, synchronous, limits, lives, givenUp, work }: WorkerSetup): OpenFile | undefined {
  const presence = createPresence(opened)
  // Another file that has taken its place must not be touched.
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

/** Whether the file is where it was; if not, all it holds is first brought to where a restart finds it. */
function isThere({ db, presence }: OpenFile): boolean {
  const found = presence.look()
  if (found !== absence) isRescued = false
  absence = found
  if (absence === undefined || isRescued) return absence === undefined
  try {
    isRescued = presence.rescue(db, absence)
  } catch (error) {
    // Tried again with the next batch.
    if (!isAway(error)) throw error
  }
  return false
}

const astray = (): Reply => ({
  type: 'failed',
  reason: absence === undefined ? 'the file is away' : REASONS[absence],
})

/** Opens the file again when that failed before. */
function replyToBatch(batch: Batch): Reply {
  try {
    if (setup === undefined) throw new Error('a batch came before the file was named')
    open ??= connect(setup)
    if (open === undefined || !isThere(open)) return astray()
    // A file that is moved while it is written is found by the next batch, and rescued as if it were moved then.
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
    // The first batch tries again, and its answer tells why.
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
