import type { Redis } from 'ioredis'
import type { Config } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { isPattern } from '../../lib/redis/glob.ts'
import type { ServerInfo } from '../../lib/redis/server-info.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** A Redis and the settings that name it. */
export interface RedisUse {
  readonly address: RedisAddress
  readonly isStore: boolean
  readonly isBus: boolean
  readonly isTrigger: boolean
  /** Setting for errors. */
  readonly setting: 'STORE_URL' | 'BUS_URL' | 'REDIS_URL'
}

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
  const message = 'Redis persists nothing: a restart loses all logs'
  return production ? fail('persistence', message, advice) : warn('persistence', message, advice)
}

function checkEviction(info: ServerInfo, { production }: Config): Finding {
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  if (policy === 'noeviction') return ok('eviction', 'maxmemory-policy is noeviction')
  const message = `maxmemory-policy is ${policy}: Redis may evict stored notifications`
  const advice = 'set maxmemory-policy noeviction in Redis'
  return production ? fail('eviction', message, advice) : warn('eviction', message, advice)
}

/** Writes and removes a key as the store does, by a script. */
async function tryStore(client: Redis): Promise<void> {
  const script = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return redis.call('DEL', KEYS[1])"
  await client.eval(script, 1, `ara:{doctor}:${crypto.randomUUID()}`)
}

async function tryBus(client: Redis, db: number): Promise<void> {
  const channel = `ara:bus:${db}:doctor-${crypto.randomUUID()}`
  await client.eval("return redis.call('PUBLISH', ARGV[1], '')", 0, channel)
  await client.pubsub('NUMSUB', channel)
}

/** Subscribes last: the connection cannot be used for other commands after it. */
async function tryTrigger(client: Redis, channels: readonly string[]): Promise<void> {
  const patterns = channels.filter(isPattern)
  const names = channels.filter(channel => !isPattern(channel))
  if (patterns.length > 0) await client.psubscribe(...patterns)
  if (names.length > 0) await client.subscribe(...names)
}

async function checkPermission(use: string, attempt: Promise<void>): Promise<Finding> {
  try {
    await attempt
    return ok('permissions', `the user may do what the ${use} needs`)
  } catch (error) {
    const advice = `give the user the permissions that "${use === 'bus' ? 'The bus' : 'Redis'}" in docs/OPERATIONS.md lists`
    return fail('permissions', `${use}: ${errorLine(error)}`, advice)
  }
}

/** Checks a Redis for what the service does with it. */
export async function checkUses(
  client: Redis,
  { address, isStore, isBus, isTrigger }: RedisUse,
  config: Config,
  info: ServerInfo | undefined,
): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  if (isStore && info !== undefined) {
    findings.push(await checkPersistence(client, info, config), checkEviction(info, config))
    findings.push(await checkPermission('store', tryStore(client)))
  }
  if (isBus) findings.push(await checkPermission('bus', tryBus(client, address.db)))
  if (isTrigger) findings.push(await checkPermission('trigger', tryTrigger(client, config.redisChannels)))
  return findings
}
