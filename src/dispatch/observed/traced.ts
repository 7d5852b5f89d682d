import type { Tracing } from '../../observe/tracing.ts'
import type { Dispatch } from '../dispatcher.ts'

/** Wraps a dispatch in a span below the span of its request or message. */
export const traced =
  (dispatch: Dispatch, { start }: Tracing): Dispatch =>
  envelope => {
    const { notification, target, span: parent } = envelope
    const span = start('dispatch', {
      parent,
      attributes: {
        'ara.notification_id': notification.id,
        'ara.target': target.type,
        'ara.event_type': notification.eventType,
        'ara.priority': notification.priority,
      },
    })
    return Promise.try(dispatch, { ...envelope, span }).then(
      outcome => {
        const { deliveredTo, queued, status } = outcome
        span.set({ 'ara.delivered_to': deliveredTo, 'ara.queued': queued, 'ara.status': status })
        span.end()
        return outcome
      },
      error => {
        span.fail()
        span.end()
        throw error
      },
    )
  }
