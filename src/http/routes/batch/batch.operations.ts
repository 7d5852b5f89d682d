import type { Operations } from '../../openapi/operation.ts'
import { invoiceContent, templateContent } from '../notifications.operations.ts'
import { MAX_BODY_BYTES } from './batch.ts'

export const batchOperations: Operations = {
  'POST /api/v1/notifications/batch': {
    id: 'batch',
    tag: 'Sending',
    description:
      'Items take effect in order; the batch is not atomic. An item with an invalid shape rejects the whole batch; any other ' +
      'fault fails only its item, and the result of the item tells it.',
    body: { schema: 'Batch', maxBytes: MAX_BODY_BYTES },
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
            { target: { type: 'user', value: 'u-7' }, ...invoiceContent },
            { target: { type: 'user', value: 'u-7' }, ...invoiceContent },
            { target: { type: 'user', value: 'u-7' }, template_id: 'unknown' },
            {
              target: { type: 'channels', value: ['orders', 'system'] },
              ...templateContent,
              priority: 'High',
            },
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
