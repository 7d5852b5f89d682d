import type { Store } from '../../store/store.ts'

interface QueueSize {
  readonly messages: number
  readonly users: number
  readonly bytes: number
  /** STORE_MAX_BYTES; 0 = no limit. */
  readonly maxBytes: number
}

/** How much is kept in all logs. Never rejects, and is never late: of a store that does not answer, what it last said. */
export type QueueTotals = () => Promise<QueueSize>

const PATIENCE_MS = 250

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
  /** Asked once, however many wait for it. */
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
    await Promise.race([asked, Bun.sleep(PATIENCE_MS)])
    return last
  }
}
