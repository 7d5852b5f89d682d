import { StoreAway } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { OnFault } from '../../observe/fault.ts'
import { limited } from '../../observe/limited.ts'
import type { Logger } from '../../observe/log.ts'
import type { Store } from '../../store/store.ts'
import type { Retry } from '../persist.ts'

/** Logs the loss and the return of the store, once each. */
export interface StoreWatch extends Disposable {
  /** Reports a failed operation. Repeats during an outage are not logged. */
  failed(error: unknown): void
  readonly retry: Retry
}

interface WatchOptions {
  readonly store: Pick<Store, 'kind' | 'isUp'>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly logger: Logger
  /** Called with rejections other than outages. */
  readonly onFault: OnFault
}

const LOOK_MS = 250
const RETRY_MS = 250
/** Time of a store to connect at the start. */
const START_MS = 2_000
const FAULT_LINES_PER_SECOND = 2

export function watchStore({ store, clock, logger, onFault }: WatchOptions): StoreWatch {
  const { kind } = store
  const startedAt = clock.monotonic()
  let wasUp = true
  let hasBeenUp = false
  let wentAt = 0
  const sayFault = limited<{ readonly err: unknown }>({
    perSecond: FAULT_LINES_PER_SECOND,
    clock,
    write: fields => logger.warn({ store: kind, ...fields }, 'store.unavailable'),
  })

  const look = (error?: unknown): void => {
    const isUp = store.isUp()
    hasBeenUp ||= isUp
    if (isUp === wasUp) return
    const now = clock.monotonic()
    if (!hasBeenUp && now - startedAt < START_MS) return
    wasUp = isUp
    if (isUp) logger.info({ store: kind, seconds: Math.round((now - wentAt) / 1000) }, 'store.recovered')
    else {
      wentAt = now
      logger.warn({ store: kind, ...(error !== undefined && { err: error }) }, 'store.lost')
    }
  }

  const timer = setInterval(look, LOOK_MS)
  timer.unref()

  const failed = (error: unknown): void => {
    const isAway = error instanceof StoreAway
    if (!isAway) onFault(error)
    look(isAway ? error : undefined)
    if (isAway && store.isUp()) sayFault({ err: error })
  }

  return {
    failed,
    retry: async error => {
      failed(error)
      if (!(error instanceof StoreAway)) return false
      await Bun.sleep(RETRY_MS)
      return true
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
