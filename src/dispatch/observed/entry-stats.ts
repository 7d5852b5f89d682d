import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Stats } from '../../observe/stats.ts'
import type { AckCounts } from '../../observe/tally.ts'
import type { StoreObserver } from '../../store/store.ts'

/** Counts the events that a store reports, and forwards the end of an outage. */
export function observeEntries(
  stats: Pick<Stats, 'tally' | 'queueExpired' | 'queueDropped' | 'ackSeconds'>,
  onResumed: () => void,
): StoreObserver {
  const acksOf = (owner: Topic): AckCounts => stats.tally.of(tenantOf(owner)).acks

  return {
    tracked: (owner, count) => {
      acksOf(owner).tracked += count
    },
    acked: (owner, latencyMs) => {
      const acks = acksOf(owner)
      acks.acked++
      acks.latencyMs += latencyMs
      stats.ackSeconds.observe(latencyMs / 1000)
    },
    gaveUp: owner => {
      acksOf(owner).expired++
    },
    left: (owner, { state, unsettled, pending }) => {
      if (pending) acksOf(owner).expired++
      if (unsettled && state === 'expired') stats.queueExpired++
      if (unsettled && state === 'dropped') stats.queueDropped++
    },
    resumed: onResumed,
  }
}
