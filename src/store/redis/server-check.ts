import type { Redis } from 'ioredis'
import { describe, type RedisAddress } from '../../lib/redis/url.ts'

/** Facts about a Redis that the store checks before it writes. */
export interface ServerCheck {
  /** Changes whenever the data may have been replaced or may have lost confirmed writes. */
  readonly anchor: string
  /** Reasons why stored data may be lost. */
  readonly warnings: readonly string[]
}

const LEAST_VERSION = [6, 2] as const

/** Parses INFO, ignoring headings and blank lines. */
const parseInfo = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split(/\r?\n/).flatMap(line => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : []
    }),
  )

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

function check(info: ReadonlyMap<string, string>): void {
  const version = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor, leastMinor] = LEAST_VERSION
  if (!(major > leastMajor || (major === leastMajor && minor >= leastMinor)))
    throw new Error(`Redis ${leastMajor}.${leastMinor} or later is needed (got ${version})`)
  if (info.get('cluster_enabled') === '1') throw new Error('Redis Cluster is not supported')
}

/** Checks the Redis behind a fresh connection, before any other command. Rejects when it cannot be used at all. */
export async function checkServer(client: Redis, address: RedisAddress): Promise<ServerCheck> {
  const info = parseInfo(await client.info())
  check(info)
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
