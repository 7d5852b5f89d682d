import type { Hub } from '../hub/hub.ts'
import type { UserLog } from '../store/store.ts'
import type { Delivery } from './delivery.ts'
import type { Retry } from './persist.ts'
import { createRounds, type Rounds } from './rounds.ts'

interface SweepOptions {
  readonly hub: Hub
  readonly log: Pick<UserLog, 'heads'>
  readonly delivery: Pick<Delivery, 'behind'>
  readonly retry: Retry
}

/** Compares the logs of this node's users with the positions of their connections. */
export type Sweep = Rounds

/** An append without an answer may have succeeded, but sends no offer. The head of the log shows it. */
export const createSweep = ({ hub, log, delivery, retry }: SweepOptions): Sweep =>
  createRounds({
    hub,
    retry,
    visit: async owners => {
      const heads = await log.heads(owners)
      for (const [n, owner] of owners.entries()) {
        const head = heads[n]
        if (head !== undefined) for (const connection of hub.members(owner)) delivery.behind(connection, head)
      }
    },
  })
