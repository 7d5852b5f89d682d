import type { Redis } from 'ioredis'
import type { Config } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import type { ServerInfo } from '../../lib/redis/server-info.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { refused } from './redis-faults.ts'
import type { RedisUse } from './redis-servers.ts'
import { tryBus, tryLease, tryStore, tryStream, tryTrigger } from './redis-trials.ts'

/** Undefined when the user lacks the permission to ask. */
async function settingOf(client: Redis, name: string): Promise<string | undefined> {
  const answer: unknown = await client.config('GET', name).catch(() => undefined)
  return Array.isArray(answer) && typeof answer[1] === 'string' ? answer[1] : undefined
}

async function checkPersistence(client: Redis, info: ServerInfo, { production }: Config): Promise<Finding> {
  if (info.get('aof_enabled') === '1')
    return info.get('aof_last_write_status') === 'err'
      ? fail('persistence', 'Redis cannot write its append-only file', 'look at the log and disk of Redis')
      : ok('persistence', 'append-only file')
  if (info.get('rdb_last_bgsave_status') === 'err')
    return fail('persistence', 'the last snapshot of Redis failed', 'look at the log and disk of Redis')
  const save = await settingOf(client, 'save')
  const advice = 'set appendonly yes in Redis'
  if (save === undefined)
    return warn('persistence', 'unknown: this user may not run CONFIG GET', 'allow +config|get')
  if (save !== '') return warn('persistence', 'snapshots only: a crash loses the last minutes', advice)
  const message = 'Redis persists nothing: a restart loses what it keeps'
  return production ? fail('persistence', message, advice) : warn('persistence', message, advice)
}

function checkEviction(info: ServerInfo, { production }: Config): Finding {
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  if (policy === 'noeviction') return ok('eviction', 'maxmemory-policy is noeviction')
  const message = `maxmemory-policy is ${policy}: Redis may evict notifications that it keeps`
  const advice = 'set maxmemory-policy noeviction in Redis'
  return production ? fail('eviction', message, advice) : warn('eviction', message, advice)
}

/** A send to users is answered when so many replicas have it. */
function checkReplicas(info: ServerInfo, { storeReplicas: needed }: Config): Finding {
  const connected = Number(info.get('connected_slaves') ?? 0)
  const message = `${connected} connected, STORE_REPLICAS needs ${needed}`
  if (connected >= needed) return ok('replicas', message)
  return fail('replicas', `${message}: sends to users get 503`, 'start replicas, or lower STORE_REPLICAS')
}

/** Use of a Redis that needs permissions of its own. */
type Use = 'store' | 'bus' | 'lease' | 'stream' | 'trigger'

async function checkPermission(use: Use, setting: string, attempt: Promise<void>): Promise<Finding> {
  try {
    await attempt
    return ok('permissions', `the user may do what the ${use} needs`)
  } catch (error) {
    return refused(use, setting, errorLine(error))
  }
}

/** Checks a Redis for what the service does with it. */
export async function* checkUses(
  client: Redis,
  { address, isStore, isBus, isTrigger, setting }: RedisUse,
  config: Config,
  info: ServerInfo | undefined,
): AsyncGenerator<Finding> {
  const { redisUrl, redisStream, storeReplicas } = config
  if (info !== undefined && (isStore || (isTrigger && redisStream !== undefined))) {
    yield await checkPersistence(client, info, config)
    yield checkEviction(info, config)
  }
  if (info !== undefined && isStore && storeReplicas > 0) yield checkReplicas(info, config)
  if (isStore) yield await checkPermission('store', setting, tryStore(client))
  if (isBus) yield await checkPermission('bus', setting, tryBus(client, address.db))
  if (isBus && redisUrl !== undefined) yield await checkPermission('lease', setting, tryLease(client))
  if (isTrigger && redisStream !== undefined)
    yield await checkPermission('stream', setting, tryStream(client, redisStream))
  if (isTrigger) yield await checkPermission('trigger', setting, tryTrigger(client, config))
}
