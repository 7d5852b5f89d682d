import type { Hub } from '../hub/hub.ts'
import type { Topic } from '../notification/topic.ts'
import type { UserLog } from '../store/store.ts'
import type { Delivery } from './delivery.ts'
import type { Retry } from './persist.ts'

interface SweepOptions {
  readonly hub: Hub
  readonly log: Pick<UserLog, 'heads'>
  readonly delivery: Pick<Delivery, 'behind'>
  readonly retry: Retry
}

/** Compares the logs of this node's users with the positions of their connections. */
export interface Sweep extends Disposable {
  /** Starts a run soon. A call during a run causes another one. */
  start(): void
}

const OWNERS_AT_ONCE = 500

/** An append without an answer may have succeeded, but sends no offer. The head of the log shows it. */
export function createSweep({ hub, log, delivery, retry }: SweepOptions): Sweep {
  let isClosed = false
  let isUnderWay = false
  let isWanted = false

  const compare = async (owners: readonly Topic[]): Promise<void> => {
    const heads = await log.heads(owners)
    for (const [n, owner] of owners.entries()) {
      const head = heads[n]
      if (head !== undefined) for (const connection of hub.members(owner)) delivery.behind(connection, head)
    }
    // Yields: a store that answers at once must not delay other work.
    if (owners.length === OWNERS_AT_ONCE) await new Promise(setImmediate)
  }

  /** False if the owners must be compared again. After a fault of our own code they are skipped. */
  const tryCompare = async (owners: readonly Topic[]): Promise<boolean> => {
    try {
      await compare(owners)
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
        if (await tryCompare(some)) from += OWNERS_AT_ONCE
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
