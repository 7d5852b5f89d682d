import { Database } from 'bun:sqlite'
import type { Batch, Reply, ToWorker, WorkerSetup } from './batch.ts'
import { isAway } from './faults.ts'
import { createFileWatch, type FileProblem, type FileWatch, REASONS } from './file-watch.ts'
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
  readonly watch: FileWatch
}

let setup: WorkerSetup | undefined
let open: OpenFile | undefined
/** The problem found at the last look, and whether its data is rescued. */
let problem: FileProblem | undefined
let isRescued = false

function connect({ opened, synchronous, limits, lives, givenUp, work }: WorkerSetup): OpenFile | undefined {
  const watch = createFileWatch(opened)
  // Never touches another file that has taken its place.
  problem = watch.look()
  if (problem !== undefined) return undefined
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
  return { db, carryOut, watch }
}

const failure = (error: unknown): Reply =>
  isAway(error) ? { type: 'failed', reason: error.message } : { type: 'failed', fault: error }

/** Whether the file is in place. If not, saves its data to where a restart finds it. */
function isThere({ db, watch }: OpenFile): boolean {
  const found = watch.look()
  if (found !== problem) isRescued = false
  problem = found
  if (problem === undefined || isRescued) return problem === undefined
  try {
    isRescued = watch.rescue(db, problem)
  } catch (error) {
    // The next batch tries again.
    if (!isAway(error)) throw error
  }
  return false
}

const astray = (): Reply => ({
  type: 'failed',
  reason: problem === undefined ? 'the file cannot be opened' : REASONS[problem],
})

/** Opens the file again if that failed before. */
function replyToBatch(batch: Batch): Reply {
  try {
    if (setup === undefined) throw new Error('the worker got a batch before its setup')
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
