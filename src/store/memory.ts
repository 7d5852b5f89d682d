import type { Clock } from '../lib/clock.ts'
import type { Kept } from './kept.ts'
import { memoryIdempotency } from './memory-idempotency.ts'
import { createLogs } from './memory-logs.ts'
import { memoryRevocations } from './memory-revocations.ts'
import { memoryTemplates } from './memory-templates.ts'
import type { Acks, Entry, Log, Store, StoreLimits, StoreObserver } from './store.ts'

const entryOf = ({ seq, trace }: Kept, body: string): Entry =>
  trace === undefined ? { seq, body } : { seq, body, trace }

/** Keeps the logs in this process: nothing outlives it, and its life's name tells clients so. */
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
  const { traces, now, find, look } = logs

  const log: Log = {
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
    trace: async (tenant, id, recipients) => traces.find(tenant, id, recipients),
    totals: async () => logs.totals(),
  }

  const acks: Acks = {
    ack: async (owner, ids) => {
      const userLog = find(owner)
      return ids.map(id => {
        const entry = userLog?.find(id) ?? traces.entryOf(id, owner)
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
