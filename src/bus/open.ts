import type { Config } from '../config/config.ts'
import type { Bus } from './bus.ts'
import { noBus } from './none.ts'

/** Opens the bus of the settings. Never waits for its server. */
export function openBus({ settings }: { readonly settings: Pick<Config, 'busUrl'> }): Bus {
  switch (settings.busUrl.kind) {
    case 'none':
      return noBus()
    case 'redis':
      throw new Error('BUS_URL is refused before this')
  }
}
