import type { Config } from '../config/config.ts'
import type { StoreUrl } from '../config/storage.ts'
import type { Clock } from '../lib/clock.ts'
import { memoryStore } from './memory.ts'
import type { Store, StoreLimits, StoreObserver } from './store.ts'

/** What a store needs to know. */
type StoreSettings = Pick<
  Config,
  | 'storeUrl'
  | 'queueMaxSizePerUser'
  | 'queueMessageTtlSeconds'
  | 'queueCleanupIntervalSeconds'
  | 'ackEnabled'
  | 'idempotencyTtlSeconds'
>

interface OpenOptions {
  readonly clock: Clock
  readonly observer: StoreObserver
}

type Opener = (
  options: OpenOptions & { readonly settings: StoreSettings; readonly limits: StoreLimits },
) => Store | Promise<Store>

/** Where things are kept, by the kind of STORE_URL. */
const STORES: Readonly<Record<StoreUrl['kind'], Opener>> = { memory: memoryStore }

/** About 300 bytes each in memory. */
const MAX_TRACES = 100_000

/** The store that the settings name. Throws ConfigError when it cannot be used at all. */
export async function openStore({
  settings,
  ...options
}: OpenOptions & { readonly settings: StoreSettings }): Promise<Store> {
  return await STORES[settings.storeUrl.kind]({
    settings,
    limits: {
      maxEntries: settings.queueMaxSizePerUser,
      retentionMs: settings.queueMessageTtlSeconds * 1000,
      cleanupMs: settings.queueCleanupIntervalSeconds * 1000,
      acknowledged: settings.ackEnabled,
      maxTraces: MAX_TRACES,
      idempotencyTtlMs: settings.idempotencyTtlSeconds * 1000,
    },
    ...options,
  })
}
