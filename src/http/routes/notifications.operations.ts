import type { Example, Operation, Operations } from '../openapi/operation.ts'
import type { SchemaName } from '../openapi/schemas.ts'
import { MAX_BODY_BYTES as MAX_BATCH_BYTES } from './batch/batch.ts'
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
const invoice = { event_type: 'invoice.paid', payload: { no: 42, ok: true } }
const templated = { template_id: 'inv_paid', variables: { no: 42, who: 'Ada' } }

/** The same target, with a payload of its own and by a template. */
const examplesOf = (target: object, answer: object): Readonly<Record<string, Example>> => ({
  direct: { summary: 'With its own payload', body: { ...target, ...invoice }, answer },
  template: { summary: 'By a template', body: { ...target, ...templated }, answer },
})

/** What the five sends have in common. */
const send = (
  id: string,
  schema: SchemaName,
  description: string,
  examples: Operation['examples'],
): Operation => ({
  id,
  tag: 'Sending',
  description: `${description} With the log on, what is for users is in their logs before this is answered.`,
  body: { schema, maxBytes: MAX_BODY_BYTES },
  isKeyed: true,
  answer: { status: 200, description: 'What has become of it', schema: 'SendResult' },
  // Only notifications for users are stored.
  errors: [
    'SUBSTITUTION_FAILED',
    'STORE_UNAVAILABLE',
    ...(/Users?$/.test(schema) ? ['STORE_FULL' as const] : []),
  ],
  examples,
})

export const sends: Operations = {
  [`POST ${AT}/send`]: send('sendToUser', 'SendToUser', 'Reaches all connections of one user.', {
    ...examplesOf({ target_user_id: 'u-7' }, sent),
    everything: {
      summary: 'With everything that may be said',
      body: {
        target_user_id: 'u-7',
        ...invoice,
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
    'Reaches each of these users; who is named twice counts once. The list may be empty.',
    examplesOf(
      { target_user_ids: ['u-7', 'u-8'] },
      { ...sent, delivered_to: 2, queued: 1, status: 'partial' },
    ),
  ),
  [`POST ${AT}/broadcast`]: send(
    'broadcast',
    'Broadcast',
    'Reaches everyone who is connected, or of them whom `audience` describes. Never kept.',
    {
      ...examplesOf({}, sent),
      audience: {
        summary: 'To those with a role',
        body: { ...invoice, audience: { type: 'Roles', value: ['admin'] } },
        answer: { ...sent, success: false, delivered_to: 0, status: 'no_recipient' },
      },
    },
  ),
  [`POST ${AT}/channel`]: send(
    'sendToChannel',
    'SendToChannel',
    'Reaches who subscribes to the channel now. Never kept.',
    examplesOf({ channel: 'orders' }, sent),
  ),
  [`POST ${AT}/channels`]: send(
    'sendToChannels',
    'SendToChannels',
    'Reaches who subscribes to one of the channels now, each connection once. Never kept.',
    examplesOf({ channels: ['orders', 'system'] }, sent),
  ),
  [`POST ${AT}/batch`]: {
    id: 'batch',
    tag: 'Sending',
    description:
      'Takes effect in order; not atomic. An item of a wrong shape refuses the whole batch; everything else is the fault of ' +
      'its item alone, told in its result.',
    body: { schema: 'Batch', maxBytes: MAX_BATCH_BYTES },
    isKeyed: true,
    answer: {
      status: 200,
      description: 'One result for each item, in order',
      schema: 'BatchResult',
    },
    errors: ['BATCH_TOO_LARGE', 'STORE_UNAVAILABLE'],
    examples: {
      mixed: {
        summary: 'To a user, the same again, by an unknown template, to channels',
        body: {
          notifications: [
            { target: { type: 'user', value: 'u-7' }, ...invoice },
            { target: { type: 'user', value: 'u-7' }, ...invoice },
            { target: { type: 'user', value: 'u-7' }, template_id: 'unknown' },
            { target: { type: 'channels', value: ['orders', 'system'] }, ...templated, priority: 'High' },
          ],
          options: { stop_on_error: false, deduplicate: true },
        },
        answer: {
          batch_id: '0d0c1f6e-2f4e-4f0a-8f6e-5d0a8b1c2d3e',
          results: [
            {
              index: 0,
              notification_id: '9b1e2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d',
              delivered_to: 2,
              failed: 0,
              queued: 0,
              success: true,
              status: 'delivered',
            },
            {
              index: 1,
              notification_id: '00000000-0000-0000-0000-000000000000',
              delivered_to: 0,
              failed: 0,
              queued: 0,
              success: true,
              skipped: true,
            },
            {
              index: 2,
              notification_id: '00000000-0000-0000-0000-000000000000',
              delivered_to: 0,
              failed: 0,
              queued: 0,
              success: false,
              error: 'The template cannot be used like this. template_id: no such template.',
              code: 'VALIDATION_ERROR',
            },
            {
              index: 3,
              notification_id: '4c77a1b2-c3d4-4e5f-9a6b-7c8d9e0f1a2b',
              delivered_to: 2,
              failed: 0,
              queued: 0,
              success: true,
              status: 'delivered',
            },
          ],
          summary: {
            total: 4,
            succeeded: 2,
            failed: 1,
            skipped: 1,
            total_delivered: 4,
            total_queued: 0,
          },
          timestamp: '2026-01-02T03:04:05.690Z',
        },
      },
    },
  },
}
