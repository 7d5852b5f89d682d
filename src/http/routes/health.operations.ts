import type { Operations } from '../openapi/operation.ts'

export const healthOperations: Operations = {
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
}
