import type { Stats } from '../../observe/stats.ts'
import type { Dispatch } from '../dispatcher.ts'

/** The same dispatch, its outcomes counted. What had expired, or was not taken, was not sent. */
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
