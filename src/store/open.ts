import type { Config } from '../config/config.ts'
import type { ReconnectSettings } from '../lib/redis/reconnect-policy.ts'
import type { Clock } from '../lib/time/clock.ts'
import { memoryStore } from './memory/memory.ts'
import type { PushSource } from './push.ts'
import { redisStore } from './redis/redis.ts'
import { sqliteStore } from './sqlite/sqlite.ts'
import type { Store, StoreLimits, StoreObserver } from './store.ts'

/** Settings that choose and limit a store. */
type StoreSettings = Pick<
  Config,
  | 'storeUrl'
  | 'storeSync'
  | 'storeReplicas'
  | 'storeMaxBytes'
  | 'tenantMaxStoredBytes'
  | 'queueMaxSizePerUser'
  | 'queueMessageTtlSeconds'
  | 'queueCleanupIntervalSeconds'
  | 'ackEnabled'
  | 'idempotencyTtlSeconds'
  | keyof ReconnectSettings
>

export interface OpenOptions {
  readonly settings: StoreSettings
  readonly clock: Clock
  readonly observer: StoreObserver
  /** Called with each new reason why the store is away. */
  readonly onAway: (reason: string) => void
  /** Called with each reason why stored data may be lost. */
  readonly onWarning: (warning: string) => void
  /** Called with a fault of our own code that no caller waits for. */
  readonly onFault: (error: unknown) => void
  /** Publishes new entries to other nodes; absent without a bus. */
  readonly pushSource?: PushSource | undefined
}

/** Notifications that stay known by id after leaving every log; about 150 bytes each in memory. */
const MAX_REPORTS = 100_000
const MAX_REVOCATIONS = 10_000

/** Opens the store that the settings name. Throws ConfigError when it cannot be used at all. */
export async function openStore({ settings, pushSource, ...options }: OpenOptions): Promise<Store> {
  const { storeUrl, storeSync, storeReplicas } = settings
  const limits: StoreLimits = {
    maxEntries: settings.queueMaxSizePerUser,
    retentionMs: settings.queueMessageTtlSeconds * 1000,
    cleanupMs: settings.queueCleanupIntervalSeconds * 1000,
    acknowledged: settings.ackEnabled,
    maxReports: MAX_REPORTS,
    maxBytes: settings.storeMaxBytes,
    tenantMaxBytes: settings.tenantMaxStoredBytes,
    maxRevocations: MAX_REVOCATIONS,
    idempotencyTtlMs: settings.idempotencyTtlSeconds * 1000,
  }
  switch (storeUrl.kind) {
    case 'memory':
      return memoryStore({ limits, ...options })
    case 'sqlite':
      return await sqliteStore({ path: storeUrl.path, sync: storeSync, limits, ...options })
    case 'redis':
      return redisStore({
        address: storeUrl.address,
        settings,
        replicas: storeReplicas,
        limits,
        pushSource,
        ...options,
      })
  }
}
