import type { Outcome } from '../../../dispatch/dispatcher.ts'
import { AppError, type HttpErrorCode, unavailable } from '../../../errors.ts'

const NO_ID = '00000000-0000-0000-0000-000000000000'

export interface Failure {
  readonly code: HttpErrorCode
  readonly message: string
}

/** An item that was rejected, or that the store did not accept. */
export interface FailedItem {
  readonly failure: Failure
}

/** Result of one item; `skipped` items had no effect. */
export type Fate =
  /** `isReplay`: the outcome of an earlier item or request with the same key. */
  | { readonly outcome: Outcome; readonly isReplay?: boolean }
  | FailedItem
  | { readonly skipped: 'duplicate' | 'stopped' }

const isSuccess = ({ deliveredTo, queued }: Outcome): boolean => deliveredTo > 0 || queued > 0

/** Whether `stop_on_error` stops here. Items that an earlier attempt delivered do not stop it. */
export const stops = (fate: Fate): boolean =>
  'failure' in fate ||
  ('outcome' in fate && (fate.outcome.status === 'no_recipient' || fate.outcome.status === 'expired'))

export function resultOf(fate: Fate, index: number) {
  const none = { index, notification_id: NO_ID, delivered_to: 0, failed: 0, queued: 0 }
  if ('failure' in fate)
    return { ...none, success: false, error: fate.failure.message, code: fate.failure.code }
  if ('skipped' in fate)
    return fate.skipped === 'duplicate'
      ? { ...none, success: true, skipped: true }
      : { ...none, success: false, skipped: true, error: 'An earlier item stopped the batch.' }
  const { notificationId, deliveredTo, failed, queued, status } = fate.outcome
  return {
    index,
    notification_id: notificationId,
    delivered_to: deliveredTo,
    failed,
    queued,
    success: isSuccess(fate.outcome),
    status,
    ...(fate.isReplay && { replayed: true }),
  }
}

export function summaryOf(fates: readonly Fate[]) {
  const outcomes = fates.flatMap(fate => ('outcome' in fate ? [fate.outcome] : []))
  const succeeded = outcomes.filter(isSuccess).length
  const skipped = fates.filter(fate => 'skipped' in fate).length
  return {
    total: fates.length,
    succeeded,
    failed: fates.length - succeeded - skipped,
    skipped,
    total_delivered: outcomes.reduce((sum, { deliveredTo }) => sum + deliveredTo, 0),
    total_queued: outcomes.reduce((sum, { queued }) => sum + queued, 0),
  }
}

/** Throws STORE_UNAVAILABLE if every item failed with it: the caller must retry the whole batch. */
export function checkStore(fates: readonly Fate[]): void {
  const isAway = (fate: Fate) => 'failure' in fate && fate.failure.code === 'STORE_UNAVAILABLE'
  if (fates.every(isAway)) throw unavailable()
}

/** Joins message and details of an error: an item has no `details`. */
export const failedBy = ({ code, message, details = [] }: AppError): FailedItem => ({
  failure: {
    code,
    message: [message, ...details.map(detail => `${detail.path}: ${detail.message}.`)].join(' '),
  },
})

export const asFailure = (error: unknown): FailedItem => {
  if (error instanceof AppError) return failedBy(error)
  throw error
}
