import type { Clock } from '../../lib/time/clock.ts'
import type { Acks } from '../acks.ts'
import type { Entry, Store, StoreLimits, StoreObserver, UserLog } from '../store.ts'
import { memoryIdempotency } from './idempotency.ts'
import { createLogs } from './logs.ts'
import { memoryRevocations } from './revocations.ts'
import { NONE, type Row, SEQ } from './rows.ts'
import { nameOf } from './states.ts'
import { memoryTemplates } from './templates.ts'

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
  const { rows, reports, states, now, find, look } = logs

  const entryOf = (row: Row, body: string): Entry => {
    const seq = rows.double(row, SEQ)
    const traceparent = rows.traceparents.get(row)
    return traceparent === undefined ? { seq, body } : { seq, body, traceparent }
  }

  const log: UserLog = {
    append: drafts => {
      try {
        return logs.append(drafts)
      } catch (error) {
        return Promise.reject(error)
      }
    },
    open: async owner => look(owner).open(now()),
    heads: async owners => owners.map(owner => look(owner).open(now()).head),
    count: async (owner, after) => look(owner).count(after, now()),
    read: async (owner, after, limit, unsettledOnly = false) =>
      look(owner).read(after, limit, now(), { of: entryOf, unsettledOnly }),
    list: async (owner, after, limit) =>
      look(owner).read(after, limit, now(), {
        of: (row, body) => ({ ...entryOf(row, body), state: nameOf(states.of(row)) }),
      }),
    received: (owner, cursor) => find(owner)?.received(cursor, now()),
    handed: (owner, epoch, seqs) => find(owner)?.handed(epoch, seqs, now()),
    report: async (tenant, id, recipients) => reports.find(tenant, id, recipients),
    totals: async () => logs.totals(),
  }

  const acks: Acks = {
    ack: (owner, ids) => {
      const userLog = find(owner)
      return ids.map(id => {
        const row = reports.entryOf(id, owner)
        return row === NONE ? undefined : userLog?.ack(row, now())
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
