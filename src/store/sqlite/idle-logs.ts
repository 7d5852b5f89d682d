import type { Database } from 'bun:sqlite'
import { type Topic, userTopic } from '../../notification/topic.ts'
import { type Heads, isBare } from './heads.ts'
import { newName } from './life.ts'
import { LOG_BYTES } from './schema.ts'

/** Logs without a trace of any entry. They make room when a limit on stored bytes is reached. */
export interface IdleLogs {
  /** Forgets the oldest idle logs of a tenant, or of all tenants. Returns whether it forgot any. */
  forget(tenant?: string): boolean
}

/** Logs per search. A search reads all logs of the tenant. */
const MAX_FORGOTTEN = 1_000
/** A pause follows each search, this many times as long as the search. */
const PAUSE_FACTOR = 10
const MAX_PAUSED = 1_000

export function createIdleLogs(db: Database, heads: Heads): IdleLogs {
  const ofTenant = db.query<{ owner: Topic }, [string, string, number, number]>(
    'SELECT owner FROM logs WHERE owner >= ? AND owner < ? AND bytes <= ? ORDER BY appended_at LIMIT ?',
  )
  const ofAll = db.query<{ owner: Topic }, [number, number]>(
    'SELECT owner FROM logs WHERE bytes <= ? ORDER BY appended_at LIMIT ?',
  )
  /** End of the pause per tenant, monotonic milliseconds. */
  const pausedUntil = new Map<string | undefined, number>()

  const pauseAfter = (tenant: string | undefined, startedAt: number): void => {
    if (pausedUntil.size >= MAX_PAUSED) pausedUntil.clear()
    const now = performance.now()
    pausedUntil.set(tenant, now + PAUSE_FACTOR * (now - startedAt))
  }

  return {
    forget: tenant => {
      const startedAt = performance.now()
      if (startedAt < (pausedUntil.get(tenant) ?? 0)) return false
      heads.write()
      const rows =
        tenant === undefined
          ? ofAll.all(LOG_BYTES, MAX_FORGOTTEN)
          : // In ASCII the semicolon follows the colon.
            ofTenant.all(userTopic(tenant, ''), `user:${tenant};`, LOG_BYTES, MAX_FORGOTTEN)
      if (rows.length < MAX_FORGOTTEN) pauseAfter(tenant, startedAt)
      let hasForgotten = false
      for (const { owner } of rows) {
        const head = heads.find(owner)
        if (head === undefined || !isBare(head)) continue
        // A forgotten log restarts at seq 1. A new epoch makes its old cursors invalid.
        heads.forget(head, newName())
        hasForgotten = true
      }
      return hasForgotten
    },
  }
}
