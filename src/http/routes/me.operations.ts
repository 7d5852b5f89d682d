import type { Operations } from '../openapi/operation.ts'
import { exampleListing, logPage } from './history.operations.ts'
import { MAX_BODY_BYTES } from './me.ts'

export const meOperations: Operations = {
  'GET /api/v1/me/notifications': {
    id: 'listOwnNotifications',
    tag: 'Clients',
    description:
      'Also tells a browser why its WebSocket was refused: the same token is refused here with the reason.',
    parameters: logPage,
    answer: { status: 200, description: 'The log of the client', schema: 'Log' },
    errors: ['STORE_UNAVAILABLE'],
    examples: { one: { summary: 'One notification', answer: exampleListing } },
  },
  'POST /api/v1/me/acks': {
    id: 'acknowledge',
    tag: 'Clients',
    description: 'With `ACK_ENABLED=false` nothing is acknowledged, and the answer says so.',
    body: { schema: 'Acknowledgement', maxBytes: MAX_BODY_BYTES },
    answer: { status: 200, description: 'The acknowledged notifications', schema: 'Acknowledged' },
    errors: ['STORE_UNAVAILABLE'],
    examples: {
      ids: {
        summary: 'Single notifications',
        body: { notification_ids: [exampleListing.notifications[0]?.id] },
        answer: { acked: [exampleListing.notifications[0]?.id], invalid: [] },
      },
      cursor: {
        summary: 'All notifications up to a position in the log',
        body: { cursor: 'k3f9:12' },
        answer: { cursor: 'k3f9:12', acked_count: 1 },
      },
    },
  },
}
