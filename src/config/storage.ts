import * as v from 'valibot'
import { type Host, parseRedisUrl, REDIS_URL_RULES, type RedisAddress } from '../lib/redis/url.ts'

/** The store of logs, acknowledgements, templates, idempotency keys and revocations. */
export type StoreUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'redis'; readonly address: RedisAddress }

/** A STORE_URL before resolution; `redis:` means the server of REDIS_URL. */
type StoreUrlSetting = StoreUrl | { readonly kind: 'redis of REDIS_URL' }

/** The connection between nodes. */
export type BusUrl = { readonly kind: 'none' } | { readonly kind: 'redis'; readonly address: RedisAddress }

/** A BUS_URL before resolution; `redis:` means the server of REDIS_URL. */
type BusUrlSetting = BusUrl | { readonly kind: 'redis of REDIS_URL' }

const SQLITE = 'sqlite:'

/** Parses a STORE_URL; undefined for an invalid one, such as SQLite's `:memory:`. */
function parse(text: string): StoreUrlSetting | undefined {
  if (text === 'memory:') return { kind: 'memory' }
  if (text === 'redis:') return { kind: 'redis of REDIS_URL' }
  if (text.startsWith(SQLITE)) {
    const path = text.slice(SQLITE.length)
    return path === '' || path === ':memory:' || path.includes('\0') ? undefined : { kind: 'sqlite', path }
  }
  const address = parseRedisUrl(text)
  return address && { kind: 'redis', address }
}

export const storeUrl = v.pipe(
  v.string(),
  v.check(text => parse(text) !== undefined),
  v.transform((text): StoreUrlSetting => parse(text) ?? { kind: 'memory' }),
  v.metadata({
    expected: `memory:, sqlite:/path/of/the/file, redis: (the server of REDIS_URL), redis://host:port/db, rediss://host:port/db or redis+sentinel://host:port,host:port/master/db (${REDIS_URL_RULES})`,
  }),
)

/** Resolves a STORE_URL; undefined if it needs a REDIS_URL that is empty. */
export function storeOf(written: StoreUrlSetting, redisUrl: RedisAddress | undefined): StoreUrl | undefined {
  if (written.kind !== 'redis of REDIS_URL') return written
  return redisUrl && { kind: 'redis', address: redisUrl }
}

/** Parses a BUS_URL; undefined for an invalid one. */
function parseBus(text: string): BusUrlSetting | undefined {
  if (text === 'none:') return { kind: 'none' }
  if (text === 'redis:') return { kind: 'redis of REDIS_URL' }
  const address = parseRedisUrl(text)
  return address && { kind: 'redis', address }
}

export const busUrl = v.pipe(
  v.string(),
  v.check(text => parseBus(text) !== undefined),
  v.transform((text): BusUrlSetting => parseBus(text) ?? { kind: 'none' }),
  v.metadata({
    expected: `none:, redis: (the server of REDIS_URL), redis://host:port/db, rediss://host:port/db or redis+sentinel://host:port,host:port/master/db (${REDIS_URL_RULES})`,
  }),
)

/** Resolves a BUS_URL; undefined if it needs a REDIS_URL that is empty. */
export function busOf(written: BusUrlSetting, redisUrl: RedisAddress | undefined): BusUrl | undefined {
  if (written.kind !== 'redis of REDIS_URL') return written
  return redisUrl && { kind: 'redis', address: redisUrl }
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1'])

const placeOf = ({ host, port }: Host): string =>
  `${LOOPBACK.has(host.toLowerCase()) ? 'localhost' : host.toLowerCase()} ${port}`

/** Whether both name one database of one server; the users may differ. One common Sentinel names one master. */
function isSameServer(one: RedisAddress, other: RedisAddress): boolean {
  if (one.master !== other.master || one.tls !== other.tls || one.db !== other.db) return false
  const places = new Set(one.hosts.map(placeOf))
  return other.hosts.some(host => places.has(placeOf(host)))
}

interface SharedSettings {
  readonly busUrl: BusUrl
  readonly storeUrl: StoreUrl
  readonly logEnabled: boolean
}

/** Returns what a BUS_URL expects of the store, if it is not so. */
export function busFault({ busUrl, storeUrl, logEnabled }: SharedSettings): string | undefined {
  if (busUrl.kind === 'none') return undefined
  if (storeUrl.kind === 'redis')
    return isSameServer(busUrl.address, storeUrl.address)
      ? undefined
      : 'the server and database of STORE_URL, because one script stores and publishes'
  return logEnabled
    ? 'STORE_URL to be the same Redis, because QUEUE_ENABLED or ACK_ENABLED keep logs that all nodes share'
    : undefined
}
