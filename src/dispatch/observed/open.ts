import type { Clock } from '../../lib/time/clock.ts'
import type { OnFault } from '../../observe/fault.ts'
import type { Logger } from '../../observe/log.ts'
import type { Stats } from '../../observe/stats.ts'
import { tellOfStore } from '../../observe/store-lines.ts'
import type { Tracing } from '../../observe/tracing.ts'
import { type OpenOptions, openStore } from '../../store/open.ts'
import type { PushSource } from '../../store/push.ts'
import type { Store, StoreObserver } from '../../store/store.ts'
import { observeEntries } from './entry-stats.ts'
import { traceStore } from './spans.ts'
import { meterStore } from './store-meter.ts'
import { type StoreWatch, watchStore } from './store-watch.ts'

/** A store whose calls are timed and traced; disposing of it closes the store. */
interface ObservedStore extends AsyncDisposable {
  readonly store: Store
  readonly observer: StoreObserver
  readonly storeWatch: StoreWatch
}

interface ObservedOptions {
  readonly settings: OpenOptions['settings']
  /** Tests delay and break the store. */
  readonly wrapStore: (store: Store) => Store
  /** Called when an outage has ended. */
  readonly onResumed: () => void
  readonly onFault: OnFault
  /** Absent without a bus. */
  readonly pushSource: PushSource | undefined
  readonly clock: Clock
  readonly logger: Logger
  readonly stats: Stats
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Opens the store of the settings and everything that watches it. Throws ConfigError if it cannot be used. */
export async function openObservedStore({
  settings,
  wrapStore,
  onResumed,
  onFault,
  pushSource,
  clock,
  logger,
  stats,
  tracing,
}: ObservedOptions): Promise<ObservedStore> {
  const observer = observeEntries(stats, onResumed)
  const opened = await openStore({
    settings,
    clock,
    observer,
    onFault,
    pushSource,
    ...tellOfStore(logger, clock),
  })
  const metered = meterStore(wrapStore(opened), { clock, stats })
  const store = tracing === undefined ? metered : traceStore(metered, tracing)
  const storeWatch = watchStore({ store, clock, logger, onFault })
  return {
    store,
    observer,
    storeWatch,
    [Symbol.asyncDispose]: () => {
      storeWatch[Symbol.dispose]()
      return Promise.resolve(store[Symbol.asyncDispose]())
    },
  }
}
