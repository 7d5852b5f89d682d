import type { Operations } from '../openapi/operation.ts'

export const metricsOperations: Operations = {
  'GET /metrics': {
    id: 'getMetrics',
    tag: 'Operating',
    description:
      'Text format of Prometheus, for all tenants. If METRICS_KEY is set, send it as `X-API-Key` or as a bearer token; the API keys of backends are not accepted.',
    answer: {
      status: 200,
      description: 'All metrics',
      mediaType: 'text/plain',
    },
    errors: ['UNAUTHORIZED'],
    examples: {},
  },
}
