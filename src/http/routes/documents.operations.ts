import { type Operations, segmentOf } from '../openapi/operation.ts'

const NOT_MODIFIED = { 304: 'The `ETag` that `If-None-Match` names is still that of the answer' }

export const operating: Operations = {
  'GET /': {
    id: 'getService',
    tag: 'Operating',
    description: 'Redirects to `/docs` when `Accept` names `text/html`.',
    answer: {
      status: 200,
      description: 'Name and version of the service',
      schema: 'Service',
      otherwise: { 302: 'To `/docs`' },
    },
    examples: {
      service: {
        summary: 'For programs',
        answer: { service: 'ara-notification-service', version: '1.0.0', docs: '/docs' },
      },
    },
  },
  'GET /health': {
    id: 'getHealth',
    tag: 'Operating',
    description: 'Answers 200 in any case; for people and dashboards.',
    answer: { status: 200, description: 'How the service is', schema: 'Health' },
    examples: {
      healthy: {
        summary: 'Without Redis',
        answer: {
          status: 'healthy',
          version: '1.0.0',
          redis: { status: 'disabled', connected: false },
          uptime_seconds: 12,
          node: 'n1',
          connections: { total: 2, unique_users: 1, channels_count: 2 },
          queue: { enabled: true, backend: 'memory', total_messages: 1, users_with_queue: 1 },
          store: { kind: 'memory', status: 'healthy' },
          bus: { kind: 'none', status: 'healthy' },
        },
      },
    },
  },
  'GET /health/live': {
    id: 'getLiveness',
    tag: 'Operating',
    answer: { status: 200, description: 'The process answers', schema: 'Alive' },
    examples: { alive: { summary: 'Alive', answer: { status: 'alive' } } },
  },
  'GET /health/ready': {
    id: 'getReadiness',
    tag: 'Operating',
    answer: { status: 200, description: 'New work may be sent here', schema: 'Ready' },
    errors: ['NOT_READY'],
    examples: { ready: { summary: 'Ready', answer: { status: 'ready' } } },
  },
  'GET /metrics': {
    id: 'getMetrics',
    tag: 'Operating',
    description:
      'In the text format of Prometheus, of all tenants. With `METRICS_KEY` it wants that key, as `X-API-Key` or as a bearer token; keys of backends do not open it.',
    answer: {
      status: 200,
      description: 'What is counted',
      mediaType: 'text/plain',
    },
    errors: ['UNAUTHORIZED'],
    examples: {},
  },
  'GET /stats': {
    id: 'getStats',
    tag: 'Operating',
    description: 'Of the tenant; `redis` is of the node. `ack` only with `ACK_ENABLED=true`.',
    answer: { status: 200, description: 'What there is, and what happened since the start', schema: 'Stats' },
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
  'GET /api/v1/cluster': {
    id: 'getCluster',
    tag: 'Operating',
    description: 'Not for keys that are bound to a tenant.',
    answer: { status: 200, description: 'The nodes that work together', schema: 'Cluster' },
    examples: {
      alone: {
        summary: 'One node',
        answer: {
          node: 'n1',
          nodes: [{ id: 'n1', version: '1.0.0', connections: 2, since: '2026-01-02T03:04:05.678Z' }],
          total: 1,
        },
      },
    },
  },
  'GET /openapi.json': {
    id: 'getDocument',
    tag: 'Operating',
    answer: {
      status: 200,
      description: 'This document',
      mediaType: 'application/json',
      otherwise: NOT_MODIFIED,
    },
    examples: {},
  },
  'GET /docs': {
    id: 'getPage',
    tag: 'Operating',
    answer: {
      status: 200,
      description: 'This document as a page',
      mediaType: 'text/html',
      otherwise: NOT_MODIFIED,
    },
    examples: {},
  },
  'GET /docs/:file': {
    id: 'getPartOfPage',
    tag: 'Operating',
    parameters: [segmentOf('file', 'What the page names; it never changes under that name', '')],
    answer: { status: 200, description: 'A script or a style sheet', mediaType: 'text/*' },
    errors: ['NOT_FOUND'],
    examples: {},
  },
}
