import * as v from 'valibot'
import { ERRORS, type ErrorCode } from '../../errors.ts'
import { anyJson, documented } from '../../lib/json/document.ts'
import { notificationFields, resumeFields } from '../../protocol/server-messages.ts'
import { count, cursor, id, PRIORITIES, timestamp } from '../../protocol/values.ts'

/** Shapes of answers. The server does not check its answers; the tests check every one. */

const countOf = (what: string) => v.pipe(count, v.description(what))
const text = v.string()
/** Beside counts over all nodes. */
export const coverage = {
  partial: v.optional(
    documented(v.boolean(), {
      description: '`true` if a node did not answer, so its connections are not counted; else left out',
    }),
  ),
}
const status = v.picklist(['delivered', 'partial', 'queued', 'no_recipient', 'expired'])
// Avoids a literal, which client generators fail to compile.
const yes = documented(v.boolean(), { description: '`true`, or left out' })

const errorOf = (codes: readonly ErrorCode[]) =>
  v.object({
    code: v.picklist(codes),
    message: documented(v.string(), { description: 'Text for people; it may change' }),
    details: v.optional(
      documented(
        v.array(
          v.object({
            path: documented(v.string(), { description: 'Path of the fault: `notifications[3].target`' }),
            message: documented(v.string(), { description: 'The expected value' }),
          }),
        ),
        { maxItems: 20 },
      ),
    ),
  })

/** The error envelope with one of these codes. */
export const envelopeOf = (codes: readonly ErrorCode[]): v.GenericSchema =>
  codes.includes('NOT_READY')
    ? v.object({
        error: errorOf(codes),
        status: v.literal('not_ready'),
        reasons: v.array(v.picklist(['draining', 'store', 'bus'])),
      })
    : v.object({ error: errorOf(codes) })

export const sendResult = v.object({
  success: documented(v.boolean(), { description: '`delivered_to > 0 or queued > 0`' }),
  notification_id: id,
  delivered_to: countOf('Connections that accepted it before this answer'),
  failed: countOf('Connections that refused it'),
  timestamp,
  queued: countOf('Users whose log holds it and who have not received it yet'),
  status,
})

export const batchResult = v.object({
  batch_id: id,
  results: v.array(
    v.object({
      index: count,
      notification_id: documented(v.string(), {
        format: 'uuid',
        description: 'All zeros for an item that was not sent',
      }),
      delivered_to: count,
      failed: count,
      queued: count,
      success: v.boolean(),
      status: v.optional(status),
      error: v.optional(text),
      code: v.optional(v.picklist(Object.keys(ERRORS) as ErrorCode[])),
      skipped: v.optional(yes),
      replayed: v.optional(yes),
    }),
  ),
  summary: v.object({
    total: count,
    succeeded: count,
    failed: count,
    skipped: count,
    total_delivered: count,
    total_queued: count,
  }),
  timestamp,
})

const state = v.picklist(['queued', 'sent', 'received', 'acked', 'expired', 'dropped'])

export const log = v.object({
  user_id: text,
  notifications: v.array(v.object({ ...notificationFields, cursor, state })),
  cursor: documented(v.nullable(cursor), {
    description: 'Cursor of the last listed entry, else the end of the log; null without a log',
  }),
  has_more: v.boolean(),
  ...resumeFields,
})

export const trace = v.object({
  id,
  event_type: text,
  occurred_at: timestamp,
  expires_at: v.optional(timestamp),
  recipients: v.array(v.object({ user_id: text, state, attempts: count, at: timestamp })),
})

export const template = v.object({
  id: text,
  name: text,
  event_type: text,
  payload_template: anyJson,
  default_priority: v.picklist(PRIORITIES),
  default_ttl: v.optional(count),
  description: v.optional(text),
  strict: v.optional(yes),
  created_at: timestamp,
  updated_at: timestamp,
})
export const templates = v.object({ templates: v.array(template), total: count, next: v.optional(text) })

const channelFields = { name: text, subscriber_count: count }
export const channel = v.object({ ...channelFields, ...coverage })
export const channels = v.object({
  channels: v.array(v.object(channelFields)),
  total_channels: count,
  ...coverage,
})

export const subscriptions = v.object({
  user_id: text,
  connection_count: count,
  subscriptions: v.array(text),
  ...coverage,
})
export const presence = v.object({
  user_id: text,
  online: v.boolean(),
  connections: count,
  nodes: v.optional(
    documented(v.array(v.object({ node: text, connections: count })), {
      description: 'Nodes with a connection of the user, by id; only with BUS_URL',
    }),
  ),
  ...coverage,
})
export const disconnected = v.object({ user_id: text, disconnected: count })

const tenantStats = {
  active_connections: count,
  total_connections: count,
  messages_sent: count,
  messages_delivered: count,
}
export const tenants = v.object({
  enabled: v.boolean(),
  tenants: v.array(v.object({ tenant_id: text, stats: v.object(tenantStats) })),
  total: count,
  ...coverage,
})
export const tenant = v.object({
  tenant_id: text,
  stats: v.object(tenantStats),
  connection_stats: v.object({ total_connections: count, unique_users: count }),
  ...coverage,
})

export const cluster = v.object({
  node: text,
  nodes: v.array(v.object({ id: text, version: text, connections: count, since: timestamp })),
  total: count,
  ...coverage,
})

export const acked = v.union([
  v.object({ acked: v.array(id), invalid: v.array(id) }),
  v.object({ cursor: text, acked_count: count }),
])
