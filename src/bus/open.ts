import type { Config } from '../config/config.ts'
import type { ReconnectSettings } from '../lib/redis/reconnect-policy.ts'
import type { Bus } from './bus.ts'
import { noBus } from './none.ts'
import { type RedisBusOptions, redisBus } from './redis.ts'

interface OpenOptions extends Omit<RedisBusOptions, 'address' | 'settings'> {
  readonly settings: Pick<Config, 'busUrl' | keyof ReconnectSettings>
}

/** Opens the bus of the settings. Never waits for its server. */
export function openBus({ settings, ...options }: OpenOptions): Bus {
  const { busUrl } = settings
  switch (busUrl.kind) {
    case 'none':
      return noBus()
    case 'redis':
      return redisBus({ address: busUrl.address, settings, ...options })
  }
}
