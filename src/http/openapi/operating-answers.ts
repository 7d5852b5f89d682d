import * as v from 'valibot'
import { documented } from '../../lib/json/document.ts'
import { coverage } from './answers.ts'

/** Shapes of answers for operators. */

const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const text = v.string()
// Avoids a literal, which client generators fail to compile.
const yes = documented(v.boolean(), { description: '`true`, or left out' })

const redis = {
  status: v.picklist(['healthy', 'reconnecting', 'circuit_open', 'disabled']),
  connected: v.boolean(),
}

export const stats = v.object({
  connections: v.object({
    total_connections: count,
    unique_users: count,
    channels: documented(v.record(v.string(), count), {
      description: 'Subscribers of the 1,000 largest channels',
    }),
  }),
  notifications: v.object({
    total_sent: count,
    total_delivered: count,
    total_failed: count,
    user_notifications: count,
    broadcast_notifications: count,
    channel_notifications: count,
  }),
  redis: v.object({
    ...redis,
    circuit_breaker_state: v.picklist(['closed', 'open', 'half_open']),
    circuit_breaker_failures: count,
    reconnection_attempts: count,
    total_reconnections: count,
  }),
  ack: v.optional(
    v.object({
      enabled: yes,
      total_tracked: count,
      total_acked: count,
      total_expired: count,
      pending_count: count,
      ack_rate: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
      avg_latency_ms: v.pipe(v.number(), v.minValue(0)),
    }),
  ),
  ...coverage,
})

const working = v.picklist(['healthy', 'unavailable'])

export const health = v.object({
  status: v.picklist(['healthy', 'degraded']),
  version: text,
  redis: v.object(redis),
  uptime_seconds: count,
  node: text,
  connections: v.object({ total: count, unique_users: count, channels_count: count }),
  queue: v.object({
    enabled: v.boolean(),
    backend: v.picklist(['memory', 'sqlite', 'redis']),
    total_messages: count,
    users_with_queue: count,
  }),
  store: v.object({
    kind: v.picklist(['memory', 'sqlite', 'redis']),
    status: working,
    bytes: v.optional(v.pipe(count, v.description('Bytes in all logs; only if STORE_MAX_BYTES is set'))),
    max_bytes: v.optional(v.pipe(count, v.description('STORE_MAX_BYTES; only if it is set'))),
  }),
  bus: v.object({ kind: v.picklist(['none', 'redis']), status: working }),
  workers: v.optional(
    v.pipe(
      v.object({ running: count, configured: count }),
      v.description('Processes that share the port; only with WORKERS above 1'),
    ),
  ),
  sockets: v.optional(v.object({ status: v.literal('full'), open: count, max: count })),
})
export const service = v.object({
  service: v.literal('ara-notification-service'),
  version: text,
  docs: text,
})
export const alive = v.object({ status: v.literal('alive') })
export const ready = v.object({ status: v.literal('ready') })
