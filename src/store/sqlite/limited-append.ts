import type { Database } from 'bun:sqlite'
import { tenantOf } from '../../notification/topic.ts'
import type { StoreLimits } from '../store.ts'
import type { DraftRow, Writer } from './batch.ts'
import type { Bodies } from './bodies.ts'
import type { BatchContext, Entries } from './entries.ts'
import type { Heads } from './heads.ts'
import { createIdleLogs } from './idle-logs.ts'
import { ENTRY_BYTES, LOG_BYTES } from './schema.ts'

interface LimitedAppendOptions {
  readonly heads: Heads
  readonly bodies: Bodies
  readonly entries: Entries
  readonly limits: StoreLimits
  readonly context: BatchContext
  /** Physically removes a bounded number of ended entries. */
  readonly removeEnded: () => void
}

/** Upper bound of the bytes that the drafts add. A UTF-16 unit takes at most 3 bytes in UTF-8. */
const mostOf = (drafts: readonly DraftRow[]): number =>
  drafts.reduce((sum, [, , body]) => sum + ENTRY_BYTES + LOG_BYTES + 3 * (body?.length ?? 0), 0)

/** Appends drafts within the limits on stored bytes. */
export function createLimitedAppend(
  db: Database,
  { heads, bodies, entries, limits, context, removeEnded }: LimitedAppendOptions,
): Pick<Writer, 'append'> {
  const save = db.query('SAVEPOINT room')
  const goBack = db.query('ROLLBACK TO room')
  const release = db.query('RELEASE room')

  const idleLogs = createIdleLogs(db, heads)

  const fits = (held: number, added: number, most: number): boolean => most === 0 || held + added <= most

  /** Appends and then checks: only carrying it out shows which drafts repeat known ids and add nothing. */
  const attempt = (tenant: string, drafts: readonly DraftRow[]): ReturnType<Writer['append']> => {
    bodies.write()
    const undo = heads.save(tenant)
    save.run()
    const before = { bytes: heads.totals().bytes, tenant: heads.bytesOf(tenant), grown: heads.grown }
    const callsBefore = context.observerCalls.length
    const appended = entries.append(drafts)
    const added = heads.grown - before.grown
    const hasRoom =
      fits(before.bytes, added, limits.maxBytes) && fits(before.tenant, added, limits.tenantMaxBytes)
    if (added > 0 && !hasRoom) {
      goBack.run()
      bodies.rollBack()
      undo()
      context.observerCalls.length = callsBefore
    }
    release.run()
    return added > 0 && !hasRoom ? 'full' : appended
  }

  /** Removes ended entries and forgets idle logs, which may make room. Returns whether it forgot any. */
  const forgetIdle = (tenant: string, most: number): boolean => {
    removeEnded()
    const isTenantFull = !fits(heads.bytesOf(tenant), most, limits.tenantMaxBytes)
    return idleLogs.forget(isTenantFull ? tenant : undefined)
  }

  return {
    append: drafts => {
      const owner = drafts[0]?.[0]
      if (owner === undefined || limits.maxBytes + limits.tenantMaxBytes === 0) return entries.append(drafts)
      const tenant = tenantOf(owner)
      const most = mostOf(drafts)
      const hasRoom = (): boolean =>
        fits(heads.totals().bytes, most, limits.maxBytes) &&
        fits(heads.bytesOf(tenant), most, limits.tenantMaxBytes)
      if (hasRoom()) return entries.append(drafts)
      let appended = attempt(tenant, drafts)
      while (appended === 'full' && forgetIdle(tenant, most)) appended = attempt(tenant, drafts)
      return appended
    },
  }
}
