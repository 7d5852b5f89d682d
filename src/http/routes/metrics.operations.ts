import type { Operations } from '../openapi/operation.ts'

export const metricsOperations: Operations = {
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
}
