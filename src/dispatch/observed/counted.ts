import { whenReady } from '../../lib/flow/awaitable.ts'
import type { Stats } from '../../observe/stats.ts'
import type { Dispatch } from '../dispatcher.ts'

/** Wraps a dispatch and counts its sends. Expired and failed ones are not counted; frames are counted where they are written. */
export const counted =
  (dispatch: Dispatch, stats: Pick<Stats, 'tally' | 'queueEnqueued'>): Dispatch =>
  envelope =>
    whenReady(dispatch(envelope), outcome => {
      if (outcome.status === 'expired') return outcome
      stats.tally.of(envelope.tenant).sent[envelope.target.type]++
      stats.queueEnqueued += outcome.queued
      return outcome
    })
