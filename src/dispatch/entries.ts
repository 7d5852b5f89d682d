import type { AckStats } from '../observe/ack-stats.ts'
import type { Stats } from '../observe/stats.ts'
import type { StoreObserver } from '../store/store.ts'

/** Counts what a store sees happen to entries. */
export const observeEntries = ({
  stats,
  acks,
}: {
  readonly stats: Pick<Stats, 'queueExpired' | 'queueDropped'>
  readonly acks: AckStats
}): StoreObserver => ({
  tracked: acks.tracked,
  acked: acks.acked,
  gaveUp: acks.expired,
  left: (owner, { state, unsettled, pending }) => {
    if (pending) acks.expired(owner)
    if (unsettled && state === 'expired') stats.queueExpired++
    if (unsettled && state === 'dropped') stats.queueDropped++
  },
})
