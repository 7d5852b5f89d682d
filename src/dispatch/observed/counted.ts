import type { Envelope } from '../../notification/target.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Dispatch, Outcome } from '../dispatcher.ts'

/** Wraps a dispatch and counts its sends. Expired and failed ones are not counted; frames are counted where they are written. */
export function counted(dispatch: Dispatch, stats: Pick<Stats, 'tally' | 'queueEnqueued'>): Dispatch {
  const count = ({ tenant, target }: Envelope, outcome: Outcome): Outcome => {
    if (outcome.status === 'expired') return outcome
    stats.tally.of(tenant).sent[target.type]++
    stats.queueEnqueued += outcome.queued
    return outcome
  }

  return envelope => {
    const dispatched = dispatch(envelope)
    return dispatched instanceof Promise
      ? dispatched.then(outcome => count(envelope, outcome))
      : count(envelope, dispatched)
  }
}
