import type { Store } from '../../store/store.ts'

interface QueueSize {
  readonly messages: number
  readonly users: number
  readonly bytes: number
  /** STORE_MAX_BYTES; 0 = no limit. */
  readonly maxBytes: number
}

/** Sizes of all logs. Never rejects; gives the last known sizes if the store is slow or down. */
export type QueueTotals = () => Promise<QueueSize>

const TIMEOUT_MS = 250

export function createQueueTotals({
  store,
  logEnabled,
  maxBytes,
  onFailed,
}: {
  readonly store: Pick<Store, 'isUp' | 'log'>
  readonly logEnabled: boolean
  readonly maxBytes: number
  readonly onFailed: (error: unknown) => void
}): QueueTotals {
  let last: QueueSize = { messages: 0, users: 0, bytes: 0, maxBytes }
  /** The call in progress, shared by all who wait for it. */
  let asked: Promise<void> | undefined

  const ask = async (): Promise<void> => {
    try {
      last = { ...last, ...(await store.log.totals()) }
    } catch (error) {
      onFailed(error)
    }
    asked = undefined
  }

  return async () => {
    if (!logEnabled || !store.isUp()) return last
    asked ??= ask()
    await Promise.race([asked, Bun.sleep(TIMEOUT_MS)])
    return last
  }
}
