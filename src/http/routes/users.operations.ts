import { type Operations, userSegment } from '../openapi/operation.ts'
import { MAX_BODY_BYTES } from './users.ts'

export const userOperations: Operations = {
  'GET /api/v1/users/:user_id/subscriptions': {
    id: 'getSubscriptions',
    tag: 'Looking up',
    parameters: [userSegment],
    answer: { status: 200, description: 'Of all connections of the user', schema: 'Subscriptions' },
    errors: ['USER_NOT_CONNECTED'],
    examples: {
      two: {
        summary: 'Two connections',
        answer: { user_id: 'u-7', connection_count: 2, subscriptions: ['orders', 'system'] },
      },
    },
  },
  'GET /api/v1/users/:user_id/presence': {
    id: 'getPresence',
    tag: 'Looking up',
    parameters: [userSegment],
    answer: { status: 200, description: 'WebSockets and streams alike', schema: 'Presence' },
    examples: {
      online: { summary: 'Connected twice', answer: { user_id: 'u-7', online: true, connections: 2 } },
    },
  },
  'POST /api/v1/users/:user_id/disconnect': {
    id: 'disconnectUser',
    tag: 'Looking up',
    description:
      'WebSockets are closed with 4403, streams with an `error` event. With `issued_before` tokens that the user was given ' +
      'earlier are refused for 24 hours. At 10,000 revocations in force in the tenant one more is 429, and the connections ' +
      'are closed all the same.',
    parameters: [userSegment],
    body: { schema: 'Disconnection', maxBytes: MAX_BODY_BYTES, optional: true },
    answer: {
      status: 200,
      description: 'How many connections were closed; 0 is fine',
      schema: 'Disconnected',
    },
    errors: ['STORE_UNAVAILABLE', 'TOO_MANY_REVOCATIONS'],
    examples: {
      plain: { summary: 'Without a reason', answer: { user_id: 'u-7', disconnected: 2 } },
      revoked: {
        summary: 'With the tokens of the time before',
        body: { reason: 'signed out everywhere', issued_before: '2026-01-02T03:04:05Z' },
        answer: { user_id: 'u-7', disconnected: 2 },
      },
    },
  },
}
