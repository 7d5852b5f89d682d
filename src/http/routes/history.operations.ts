import { CURSOR_PATTERN } from '../../protocol/values.ts'
import { limitOf, type Operations, segmentOf, userSegment } from '../openapi/operation.ts'
import { LIMIT } from './history.ts'

/** Parameters of a page of a log. */
export const logPage = [
  {
    name: 'after',
    in: 'query',
    description: 'A cursor: the listing starts after it; without it at the oldest entry',
    schema: { type: 'string', pattern: `${CURSOR_PATTERN.source}|^$` },
    example: '',
  },
  limitOf(LIMIT.most, LIMIT.otherwise),
] as const

export const exampleListing = {
  user_id: 'u-7',
  notifications: [
    {
      type: 'notification',
      id: '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11',
      occurred_at: '2026-01-02T03:04:05.678Z',
      event_type: 'invoice.paid',
      payload: { no: 42, ok: true },
      metadata: { source: 'http-api', priority: 'High', ttl: 600, correlation_id: 'c-1' },
      cursor: 'k3f9:12',
      state: 'received',
    },
  ],
  cursor: 'k3f9:12',
  has_more: false,
  recovered: true,
}

export const historyOperations: Operations = {
  'GET /api/v1/notifications/:id': {
    id: 'getNotification',
    tag: 'Looking up',
    description:
      'Channel and broadcast notifications, those with `ttl` 0 and those sent without a log have no report.',
    parameters: [
      segmentOf('id', 'The `notification_id` of a send', exampleListing.notifications[0]?.id ?? '', {
        format: 'uuid',
      }),
      {
        name: 'after',
        in: 'query',
        description: 'A user id: the list starts after this recipient',
        schema: { type: 'string' },
        example: '',
      },
      limitOf(LIMIT.most, LIMIT.otherwise),
    ],
    answer: {
      status: 200,
      description: 'Delivery status per recipient, in the order of the send',
      schema: 'Trace',
    },
    errors: ['NOTIFICATION_NOT_FOUND', 'STORE_UNAVAILABLE'],
    examples: {
      sent: {
        summary: 'Sent to one user',
        answer: {
          id: '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11',
          event_type: 'invoice.paid',
          occurred_at: '2026-01-02T03:04:05.678Z',
          expires_at: '2026-01-02T03:14:05.678Z',
          recipients: [{ user_id: 'u-7', state: 'received', attempts: 1, at: '2026-01-02T03:04:05.679Z' }],
        },
      },
    },
  },
  'GET /api/v1/users/:user_id/notifications': {
    id: 'listNotificationsOfUser',
    tag: 'Looking up',
    description: 'Oldest first, whether acknowledged or not. Reading changes nothing.',
    parameters: [userSegment, ...logPage],
    answer: { status: 200, description: 'The log of the user', schema: 'Log' },
    errors: ['STORE_UNAVAILABLE'],
    examples: { one: { summary: 'One notification', answer: exampleListing } },
  },
}
