import * as v from 'valibot'
import { parseRedisUrl, REDIS_URL_RULES, type RedisAddress } from '../lib/redis/url.ts'

/** Where logs, acknowledgements, templates, keys and revocations are kept. */
export type StoreUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'redis'; readonly address: RedisAddress }

/** The same as it is written; `redis:` is the server of REDIS_URL, whichever that is. */
type StoreUrlSetting = StoreUrl | { readonly kind: 'redis of REDIS_URL' }

const SQLITE = 'sqlite:'

/** Undefined for what names no store; `:memory:` is what others call a file that is none. */
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

/** The store that is meant; undefined when it is the server of a REDIS_URL that is empty. */
export function storeOf(written: StoreUrlSetting, redisUrl: RedisAddress | undefined): StoreUrl | undefined {
  if (written.kind !== 'redis of REDIS_URL') return written
  return redisUrl && { kind: 'redis', address: redisUrl }
}
