import type { Operations } from '../openapi/operation.ts'

export const statsOperations: Operations = {
  'GET /stats': {
    id: 'getStats',
    tag: 'Operating',
    description:
      'Figures of the tenant; `redis` concerns the node. `ack` is present with `ACK_ENABLED=true`.',
    answer: { status: 200, description: 'Open connections, and counters since the start', schema: 'Stats' },
    examples: {
      stats: {
        summary: 'With acknowledgement, without Redis',
        answer: {
          connections: { total_connections: 2, unique_users: 1, channels: { orders: 2, system: 1 } },
          notifications: {
            total_sent: 1,
            total_delivered: 2,
            total_failed: 0,
            user_notifications: 1,
            broadcast_notifications: 0,
            channel_notifications: 0,
          },
          redis: {
            status: 'disabled',
            connected: false,
            circuit_breaker_state: 'closed',
            circuit_breaker_failures: 0,
            reconnection_attempts: 0,
            total_reconnections: 0,
          },
          ack: {
            enabled: true,
            total_tracked: 1,
            total_acked: 0,
            total_expired: 0,
            pending_count: 1,
            ack_rate: 1,
            avg_latency_ms: 0,
          },
        },
      },
    },
  },
}
