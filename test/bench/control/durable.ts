/** Stores a durable send in the same tables, one transaction for all sends during the previous one. */
import { Database } from 'bun:sqlite'
import { STEPS } from '../../../src/store/sqlite/schema.ts'
import { frameOf, serveSends } from './wire.ts'

interface Waiting {
  readonly user: string
  readonly id: string
  readonly event: string
  readonly body: string
  readonly written: () => void
}

const RETENTION_MS = 3_600_000
const MAX_KEPT = 100

const db = new Database((process.env['STORE_URL'] ?? '').slice('sqlite:'.length), { create: true })
db.run('PRAGMA journal_mode = WAL')
db.run('PRAGMA synchronous = FULL')
db.run('PRAGMA cache_size = -32000')
db.run('PRAGMA wal_autocheckpoint = 4000')
for (const step of STEPS) db.run(step)

const next = db.query<{ id: number; seq: number }, [string, number]>(
  `INSERT INTO logs (owner, life, epoch, bases, seq, received, removed_through, appended_at, low, normal, high, critical)
   VALUES (?1, 1, 'e', '', 1, 0, 0, ?2, 0, 1, 0, 0)
   ON CONFLICT (owner) DO UPDATE SET seq = seq + 1, appended_at = ?2 RETURNING id, seq`,
)
const insert = db.query(
  `INSERT INTO entries (log, seq, id, rank, occurred_at, ages_at, at, event_type, body)
   VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?)`,
)
const evict = db.query(
  'UPDATE entries SET is_kept = 0, body = NULL, state = 4, at = ? WHERE log = ? AND is_kept = 1 AND seq = ?',
)

let waiting: Waiting[] = []

const write = db.transaction((all: readonly Waiting[]) => {
  const now = Date.now()
  for (const { user, id, event, body } of all) {
    const log = next.get(user, now)
    if (log === null) continue
    insert.run(log.id, log.seq, id, now, now + RETENTION_MS, now, event, body)
    if (log.seq > MAX_KEPT) evict.run(now, log.id, log.seq - MAX_KEPT)
  }
})

function commit(): void {
  const all = waiting
  waiting = []
  write(all)
  for (const { written } of all) written()
}

serveSends((send, id) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (waiting.length === 0) setImmediate(commit)
  const [user, event] = [send.target_user_id, send.event_type]
  waiting.push({ user, id, event, body: frameOf(send, id).slice(0, -1), written: resolve })
  return promise
})
