import type { Redis } from 'ioredis'
import { isReplyError } from './reply-error.ts'

/** Fields of INFO by name. */
export type ServerInfo = ReadonlyMap<string, string>

const LEAST_VERSION = [6, 2] as const

/** Parses INFO, ignoring headings and blank lines. */
export const parseInfo = (text: string): ServerInfo =>
  new Map(
    text.split(/\r?\n/).flatMap(line => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)] as const] : []
    }),
  )

function refuseCluster(info: ServerInfo, setting: string): void {
  if (info.get('cluster_enabled') === '1')
    throw new Error(`${setting}: Redis Cluster is not supported (expected a single Redis, or Sentinels)`)
}

/** Reads INFO. Throws when nothing works on this Redis: too old, or part of a Redis Cluster. */
export async function checkedInfo(client: Redis, setting: string): Promise<ServerInfo> {
  const info = parseInfo(await client.info())
  const version = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor, leastMinor] = LEAST_VERSION
  if (!(major > leastMajor || (major === leastMajor && minor >= leastMinor)))
    throw new Error(`${setting}: Redis ${leastMajor}.${leastMinor} or later is needed (got ${version})`)
  refuseCluster(info, setting)
  return info
}

/** Throws if this Redis is part of a Redis Cluster. Passes one that forbids INFO to this user. */
export async function checkNoCluster(client: Redis, setting: string): Promise<void> {
  const text = await client.info('cluster').catch((error: unknown) => {
    if (isReplyError(error)) return ''
    throw error
  })
  refuseCluster(parseInfo(text), setting)
}
