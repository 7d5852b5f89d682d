import type { Clock } from '../../lib/time/clock.ts'
import type { Acks } from '../acks.ts'
import type { Entry, Store, StoreLimits, StoreObserver, UserLog } from '../store.ts'
import type { LogEntry } from './entry.ts'
import { memoryIdempotency } from './idempotency.ts'
import { createLogs } from './logs.ts'
import { memoryRevocations } from './revocations.ts'
import { memoryTemplates } from './templates.ts'

const entryOf = ({ seq, traceparent }: LogEntry, body: string): Entry =>
  traceparent === undefined ? { seq, body } : { seq, body, traceparent }

/** Keeps everything in this process. Nothing survives a restart; the new epoch tells clients so. */
export function memoryStore({
  limits,
  clock,
  observer,
}: {
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
}): Store {
  const logs = createLogs({ limits, clock, observer })
  const { reports, now, find, look } = logs

  const log: UserLog = {
    append: async drafts => logs.append(drafts),
    open: async owner => look(owner).open(now()),
    heads: async owners => owners.map(owner => look(owner).open(now()).head),
    count: async (owner, after) => look(owner).count(after, now()),
    read: async (owner, after, limit, unsettledOnly = false) =>
      look(owner).read(after, limit, now(), { of: entryOf, unsettledOnly }),
    list: async (owner, after, limit) =>
      look(owner).read(after, limit, now(), {
        of: (kept, body) => ({ ...entryOf(kept, body), state: kept.state }),
      }),
    received: (owner, cursor) => find(owner)?.received(cursor, now()),
    handed: (owner, epoch, seqs) => find(owner)?.handed(epoch, seqs, now()),
    report: async (tenant, id, recipients) => reports.find(tenant, id, recipients),
    totals: async () => logs.totals(),
  }

  const acks: Acks = {
    ack: async (owner, ids) => {
      const userLog = find(owner)
      return ids.map(id => {
        const entry = userLog?.find(id) ?? reports.entryOf(id, owner)
        return entry && userLog?.ack(entry, now())
      })
    },
    ackThrough: async (owner, cursor) => look(owner).ackThrough(cursor, now()),
    redeliver: async (owner, cursor, most) => find(owner)?.redeliver(cursor, most, now()),
  }

  return {
    kind: 'memory',
    isUp: () => true,
    log,
    acks,
    idempotency: memoryIdempotency(clock, limits.idempotencyTtlMs),
    revocations: memoryRevocations({ clock, maxPerTenant: limits.maxRevocations }),
    templates: memoryTemplates(),
    [Symbol.asyncDispose]: async () => logs[Symbol.dispose](),
  }
}
