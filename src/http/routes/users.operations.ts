import { type Operations, userSegment } from '../openapi/operation.ts'
import { MAX_BODY_BYTES } from './users.ts'

const onTwoNodes = {
  user_id: 'u-7',
  online: true,
  connections: 2,
  nodes: [
    { node: 'n1', connections: 1 },
    { node: 'n2', connections: 1 },
  ],
}

export const userOperations: Operations = {
  'GET /api/v1/users/:user_id/subscriptions': {
    id: 'getSubscriptions',
    tag: 'Looking up',
    parameters: [userSegment],
    answer: { status: 200, description: 'Channels of all connections of the user', schema: 'Subscriptions' },
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
    answer: { status: 200, description: 'Number of WebSockets and SSE streams', schema: 'Presence' },
    examples: {
      online: { summary: 'Connected twice', answer: { user_id: 'u-7', online: true, connections: 2 } },
      nodes: { summary: 'Connected to two nodes (`BUS_URL`)', answer: onTwoNodes },
      partial: {
        summary: 'Another node did not answer within 500 ms',
        answer: { ...onTwoNodes, partial: true },
      },
    },
  },
  'POST /api/v1/users/:user_id/disconnect': {
    id: 'disconnectUser',
    tag: 'Looking up',
    description:
      'Closes WebSockets with 4403 and SSE streams with an `error` event. `issued_before` revokes the tokens that were issued to ' +
      'the user earlier, for 24 hours. A tenant may have 10,000 revocations in force: one more is 429, and the connections ' +
      'are closed nevertheless.',
    parameters: [userSegment],
    body: { schema: 'Disconnection', maxBytes: MAX_BODY_BYTES, optional: true },
    answer: {
      status: 200,
      description: 'Number of closed connections; 0 is no error',
      schema: 'Disconnected',
    },
    errors: ['STORE_UNAVAILABLE', 'TOO_MANY_REVOCATIONS'],
    examples: {
      plain: { summary: 'Without a reason', answer: { user_id: 'u-7', disconnected: 2 } },
      revoked: {
        summary: 'Also revoking earlier tokens',
        body: { reason: 'signed out everywhere', issued_before: '2026-01-02T03:04:05Z' },
        answer: { user_id: 'u-7', disconnected: 2 },
      },
    },
  },
}
