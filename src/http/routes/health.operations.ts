import type { Operations } from '../openapi/operation.ts'

export const healthOperations: Operations = {
  'GET /health': {
    id: 'getHealth',
    tag: 'Operating',
    description: 'Always answers 200; for people and dashboards.',
    answer: { status: 200, description: 'State of the service', schema: 'Health' },
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
    answer: { status: 200, description: 'The process runs', schema: 'Alive' },
    examples: { alive: { summary: 'Alive', answer: { status: 'alive' } } },
  },
  'GET /health/ready': {
    id: 'getReadiness',
    tag: 'Operating',
    answer: { status: 200, description: 'The node accepts new work', schema: 'Ready' },
    errors: ['NOT_READY'],
    examples: { ready: { summary: 'Ready', answer: { status: 'ready' } } },
  },
}
