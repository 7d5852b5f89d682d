import { Database } from 'bun:sqlite'
import type { Batch, Reply, ToWorker, WorkerSetup } from './batch.ts'
import { isAway } from './faults.ts'
import { type CarryOut, createWriter } from './writer.ts'

declare const self: Worker

/** Pages at hand, in KiB when negative. */
const CACHE = -32_000
/** The log grows to about 16 MiB before it is brought into the file. */
const CHECKPOINT_PAGES = 4_000
const MAX_LOG_BYTES = 64 * 1024 * 1024

let setup: WorkerSetup | undefined
let db: Database | undefined
let carryOut: CarryOut | undefined

function open({ path, synchronous, limits, lives, givenUp }: WorkerSetup): CarryOut {
  db?.close()
  db = new Database(path, { strict: true, readwrite: true })
  db.run('PRAGMA busy_timeout = 0')
  db.run(`PRAGMA synchronous = ${synchronous}`)
  db.run(`PRAGMA cache_size = ${CACHE}`)
  db.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  db.run(`PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`)
  const through = new BigInt64Array(givenUp)
  return createWriter({ db, lives, limits, givenUp: () => Number(Atomics.load(through, 0)) })
}

const failure = (error: unknown): Reply =>
  isAway(error) ? { type: 'failed', reason: error.message } : { type: 'failed', fault: error }

/** Opens the file again when that failed before. */
function replyToBatch(batch: Batch): Reply {
  try {
    if (setup === undefined) throw new Error('a batch came before the file was named')
    carryOut ??= open(setup)
    return carryOut(batch)
  } catch (error) {
    return failure(error)
  }
}

function begin(given: WorkerSetup): void {
  setup = given
  try {
    carryOut = open(given)
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
      db?.close()
      return { type: 'closed' }
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const reply = replyTo(data)
  if (reply !== undefined) self.postMessage(reply)
}
