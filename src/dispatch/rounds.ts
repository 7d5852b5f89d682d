import type { Hub } from '../hub/hub.ts'
import type { Topic } from '../notification/topic.ts'
import type { Retry } from './persist.ts'

interface RoundsOptions {
  readonly hub: Pick<Hub, 'rooms'>
  /** Called with a portion of the users connected to this node. */
  readonly visit: (owners: readonly Topic[]) => Promise<void>
  readonly retry: Retry
}

/** Visits all users connected to this node. */
export interface Rounds extends Disposable {
  /** Starts a round soon. A call during a round causes another one. */
  start(): void
}

const OWNERS_AT_ONCE = 500

export function createRounds({ hub, visit, retry }: RoundsOptions): Rounds {
  let isClosed = false
  let isUnderWay = false
  let isWanted = false

  /** False if the owners must be visited again. After a fault of our own code they are skipped. */
  const tryVisit = async (owners: readonly Topic[]): Promise<boolean> => {
    try {
      await visit(owners)
      // Yields: a store that answers at once must not delay other work.
      if (owners.length === OWNERS_AT_ONCE) await new Promise(setImmediate)
      return true
    } catch (error) {
      return !(await retry(error))
    }
  }

  const run = async (): Promise<void> => {
    while (isWanted && !isClosed) {
      isWanted = false
      const owners = Array.from(hub.rooms('user'), ({ topic }) => topic)
      for (let from = 0; from < owners.length && !isClosed; ) {
        const some = owners.slice(from, from + OWNERS_AT_ONCE)
        if (await tryVisit(some)) from += OWNERS_AT_ONCE
      }
    }
  }

  return {
    start: () => {
      isWanted = true
      if (isUnderWay) return
      isUnderWay = true
      void run().finally(() => {
        isUnderWay = false
      })
    },
    [Symbol.dispose]: () => {
      isClosed = true
    },
  }
}
