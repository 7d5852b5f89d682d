import type { Config } from '../config/config.ts'
import type { Clock } from '../lib/clock.ts'
import { memoryStore } from './memory.ts'
import type { Store, StoreLimits, StoreObserver } from './store.ts'

interface OpenOptions {
  readonly clock: Clock
  readonly observer: StoreObserver
}

type OpenStore = (options: OpenOptions & { readonly limits: StoreLimits }) => Store

/** Where things are kept, by the scheme of STORE_URL. */
const STORES: Readonly<Record<Config['storeUrl'], OpenStore>> = { 'memory:': memoryStore }

/** About 300 bytes each in memory. */
const MAX_TRACES = 100_000

type StoreSettings = Pick<
  Config,
  'storeUrl' | 'queueMaxSizePerUser' | 'queueMessageTtlSeconds' | 'queueCleanupIntervalSeconds' | 'ackEnabled'
>

/** The store that the settings name. */
export const openStore = ({
  settings,
  ...options
}: OpenOptions & { readonly settings: StoreSettings }): Store =>
  STORES[settings.storeUrl]({
    limits: {
      maxEntries: settings.queueMaxSizePerUser,
      retentionMs: settings.queueMessageTtlSeconds * 1000,
      cleanupMs: settings.queueCleanupIntervalSeconds * 1000,
      acknowledged: settings.ackEnabled,
      maxTraces: MAX_TRACES,
    },
    ...options,
  })
