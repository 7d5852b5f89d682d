import type { Stats } from '../../observe/stats.ts'
import type { Dispatch } from '../dispatcher.ts'

/** Wraps a dispatch and counts its outcomes. Expired and failed sends are not counted. */
export const counted =
  (dispatch: Dispatch, stats: Pick<Stats, 'tally' | 'queueEnqueued'>): Dispatch =>
  envelope =>
    dispatch(envelope).then(outcome => {
      if (outcome.status === 'expired') return outcome
      const record = stats.tally.of(envelope.tenant)
      record.sent[envelope.target.type]++
      record.delivered += outcome.deliveredTo
      record.failed += outcome.failed
      stats.queueEnqueued += outcome.queued
      return outcome
    })
