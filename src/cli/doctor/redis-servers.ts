import type { Config } from '../../config/config.ts'
import type { RedisAddress } from '../../lib/redis/url.ts'

/** A Redis and the settings that name it. */
export interface RedisUse {
  readonly address: RedisAddress
  readonly isStore: boolean
  readonly isBus: boolean
  readonly isTrigger: boolean
  /** Setting for errors. */
  readonly setting: 'STORE_URL' | 'BUS_URL' | 'REDIS_URL'
}

/** The Redis servers of the settings, each once. */
export function redisUses({ storeUrl, busUrl, redisUrl }: Config): readonly RedisUse[] {
  const uses = new Map<string, RedisUse>()
  const add = (address: RedisAddress, use: Partial<RedisUse> & Pick<RedisUse, 'setting'>): void => {
    const name = JSON.stringify(address)
    const none = { address, isStore: false, isBus: false, isTrigger: false, ...use }
    uses.set(name, { ...none, ...uses.get(name), ...use, setting: uses.get(name)?.setting ?? use.setting })
  }
  if (storeUrl.kind === 'redis') add(storeUrl.address, { isStore: true, setting: 'STORE_URL' })
  if (busUrl.kind === 'redis') add(busUrl.address, { isBus: true, setting: 'BUS_URL' })
  if (redisUrl !== undefined) add(redisUrl, { isTrigger: true, setting: 'REDIS_URL' })
  return [...uses.values()]
}
