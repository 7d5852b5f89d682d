import type { Redis } from 'ioredis'
import { checkedInfo, parseInfo } from '../../lib/redis/server-info.ts'
import { describe, type RedisAddress } from '../../lib/redis/url.ts'

/** Facts about a Redis that the store checks before it writes. */
export interface ServerCheck {
  /** Changes whenever the data may have been replaced or may have lost confirmed writes. */
  readonly anchor: string
  /** Reasons why stored data may be lost. */
  readonly warnings: readonly string[]
}

interface Eviction {
  /** Whether a memory limit is set and enforced by evicting keys. */
  readonly mayEvict: boolean
  readonly policy: string
  /** Keys evicted since this Redis started. */
  readonly evicted: number
}

/** Reads the sections `memory` and `stats` of INFO. */
export function evictionOf(text: string): Eviction {
  const info = parseInfo(text)
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  const isLimited = Number(info.get('maxmemory') ?? 0) > 0
  return {
    mayEvict: isLimited && policy !== 'noeviction',
    policy,
    evicted: Number(info.get('evicted_keys') ?? 0),
  }
}

/** Undefined when the user lacks the permission to ask. */
async function settingOf(client: Redis, name: string): Promise<string | undefined> {
  const answer: unknown = await client.config('GET', name).catch(() => undefined)
  return Array.isArray(answer) && typeof answer[1] === 'string' ? answer[1] : undefined
}

/** Checks the Redis behind a fresh connection, before any other command. Rejects when it cannot be used at all. */
export async function checkServer(client: Redis, address: RedisAddress): Promise<ServerCheck> {
  const info = await checkedInfo(client, 'STORE_URL')
  const save = await settingOf(client, 'save')
  const fsync = await settingOf(client, 'appendfsync')
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  const appends = info.get('aof_enabled') === '1'
  // A single master that syncs each write to disk restarts with all its data.
  const isAlone =
    address.master === undefined && info.get('role') === 'master' && info.get('connected_slaves') === '0'
  return {
    anchor:
      isAlone && appends && fsync === 'always'
        ? `always@${describe(address)}`
        : `run@${info.get('run_id') ?? crypto.randomUUID()}`,
    warnings: [
      ...(save === '' && !appends
        ? ['STORE_URL: Redis persists nothing: its data is lost when it stops (set save or appendonly)']
        : []),
      ...(policy === 'noeviction'
        ? []
        : [
            `STORE_URL: Redis may evict stored notifications (maxmemory-policy is ${policy}, expected noeviction)`,
          ]),
    ],
  }
}
