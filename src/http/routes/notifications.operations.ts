import type { Example, Operation, Operations } from '../openapi/operation.ts'
import type { SchemaName } from '../openapi/schemas.ts'
import { MAX_BODY_BYTES } from './notifications.ts'

const AT = '/api/v1/notifications'

const sent = {
  success: true,
  notification_id: '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11',
  delivered_to: 2,
  failed: 0,
  timestamp: '2026-01-02T03:04:05.679Z',
  queued: 0,
  status: 'delivered',
}
export const invoiceContent = { event_type: 'invoice.paid', payload: { no: 42, ok: true } }
export const templateContent = { template_id: 'inv_paid', variables: { no: 42, who: 'Ada' } }

/** Two examples with one target: its own payload, and a template. */
const examplesOf = (target: object, answer: object): Readonly<Record<string, Example>> => ({
  direct: { summary: 'With its own payload', body: { ...target, ...invoiceContent }, answer },
  template: { summary: 'By a template', body: { ...target, ...templateContent }, answer },
})

/** The operation of a send, with everything that the five sends share. */
const send = (
  id: string,
  schema: SchemaName,
  description: string,
  examples: Operation['examples'],
): Operation => ({
  id,
  tag: 'Sending',
  description: `${description} With the log on, notifications to users are in their logs before the answer.`,
  body: { schema, maxBytes: MAX_BODY_BYTES },
  isKeyed: true,
  answer: { status: 200, description: 'The result of the send', schema: 'SendResult' },
  // Only notifications for users are stored.
  errors: [
    'SUBSTITUTION_FAILED',
    'STORE_UNAVAILABLE',
    ...(/Users?$/.test(schema) ? ['STORE_FULL' as const] : []),
  ],
  examples,
})

export const notificationOperations: Operations = {
  [`POST ${AT}/send`]: send('sendToUser', 'SendToUser', 'Reaches all connections of one user.', {
    ...examplesOf({ target_user_id: 'u-7' }, sent),
    everything: {
      summary: 'With all fields',
      body: {
        target_user_id: 'u-7',
        ...invoiceContent,
        priority: 'High',
        ttl: 600,
        correlation_id: 'c-1',
        idempotency_key: 'invoice-42-paid',
      },
      answer: sent,
    },
  }),
  [`POST ${AT}/send-to-users`]: send(
    'sendToUsers',
    'SendToUsers',
    'Reaches each of these users once. The list may be empty.',
    examplesOf(
      { target_user_ids: ['u-7', 'u-8'] },
      { ...sent, delivered_to: 2, queued: 1, status: 'partial' },
    ),
  ),
  [`POST ${AT}/broadcast`]: send(
    'broadcast',
    'Broadcast',
    'Reaches all connected clients, or those that match `audience`. Never stored.',
    {
      ...examplesOf({}, sent),
      audience: {
        summary: 'To users with a role',
        body: { ...invoiceContent, audience: { type: 'Roles', value: ['admin'] } },
        answer: { ...sent, success: false, delivered_to: 0, status: 'no_recipient' },
      },
    },
  ),
  [`POST ${AT}/channel`]: send(
    'sendToChannel',
    'SendToChannel',
    'Reaches the current subscribers of the channel. Never stored.',
    examplesOf({ channel: 'orders' }, sent),
  ),
  [`POST ${AT}/channels`]: send(
    'sendToChannels',
    'SendToChannels',
    'Reaches the current subscribers of the channels, each connection once. Never stored.',
    examplesOf({ channels: ['orders', 'system'] }, sent),
  ),
}
