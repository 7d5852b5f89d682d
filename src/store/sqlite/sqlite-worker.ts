import { Database } from 'bun:sqlite'
import type { Reply, ToWorker, WorkerSetup } from './batch.ts'
import { type CarryOut, createWriter } from './writer.ts'

declare const self: Worker

/** Pages at hand, in KiB when negative. */
const CACHE = -32_000
/** The log grows to about 16 MiB before it is brought into the file. */
const CHECKPOINT_PAGES = 4_000
const MAX_LOG_BYTES = 64 * 1024 * 1024

let db: Database | undefined
let carryOut: CarryOut | undefined

function open({ path, synchronous, limits, lives, givenUp }: WorkerSetup): void {
  db = new Database(path, { strict: true, readwrite: true })
  db.run('PRAGMA busy_timeout = 0')
  db.run(`PRAGMA synchronous = ${synchronous}`)
  db.run(`PRAGMA cache_size = ${CACHE}`)
  db.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  db.run(`PRAGMA journal_size_limit = ${MAX_LOG_BYTES}`)
  const through = new BigInt64Array(givenUp)
  carryOut = createWriter({ db, lives, limits, givenUp: () => Number(Atomics.load(through, 0)) })
}

function replyTo(message: ToWorker): Reply | undefined {
  switch (message.type) {
    case 'open':
      return void open(message)
    case 'batch':
      return carryOut?.(message) ?? { type: 'failed', reason: 'not open' }
    case 'close':
      db?.close()
      return { type: 'closed' }
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const reply = replyTo(data)
  if (reply !== undefined) self.postMessage(reply)
}
