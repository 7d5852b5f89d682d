import type { Clock } from '../../lib/time/clock.ts'
import type { Stats, StoreOperation } from '../../observe/stats.ts'
import type { Store } from '../../store/store.ts'

interface MeterOptions {
  readonly clock: Pick<Clock, 'monotonic'>
  readonly stats: Pick<Stats, 'storeSeconds' | 'storeErrors'>
}

/** Wraps a store: times the calls that callers wait for and counts their failures. */
export function meterStore(store: Store, { clock, stats }: MeterOptions): Store {
  const metered = <A extends readonly unknown[], R>(
    operation: StoreOperation,
    act: (...given: A) => R,
  ): ((...given: A) => R) => {
    const seconds = stats.storeSeconds[operation]
    const tell = (startedAt: number): void => seconds.observe((clock.monotonic() - startedAt) / 1000)
    return (...given) => {
      const startedAt = clock.monotonic()
      const answered = act(...given)
      if (answered instanceof Promise)
        // A side branch: the answer does not wait for it.
        answered.then(
          () => tell(startedAt),
          () => {
            tell(startedAt)
            stats.storeErrors[operation]++
          },
        )
      else tell(startedAt)
      return answered
    }
  }
  const { log, acks, templates, idempotency } = store

  return {
    ...store,
    log: {
      ...log,
      append: metered('append', log.append),
      open: metered('read', log.open),
      heads: metered('read', log.heads),
      count: metered('read', log.count),
      read: metered('read', log.read),
      list: metered('read', log.list),
      report: metered('read', log.report),
    },
    acks: {
      ack: metered('ack', acks.ack),
      ackThrough: metered('ack', acks.ackThrough),
      redeliver: metered('ack', acks.redeliver),
    },
    templates: {
      create: metered('template', templates.create),
      get: metered('template', templates.get),
      list: metered('template', templates.list),
      update: metered('template', templates.update),
      delete: metered('template', templates.delete),
    },
    idempotency: { ...idempotency, reserve: metered('idempotency', idempotency.reserve) },
  }
}
