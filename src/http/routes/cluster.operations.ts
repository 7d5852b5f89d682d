import type { Operations } from '../openapi/operation.ts'

export const clusterOperations: Operations = {
  'GET /api/v1/cluster': {
    id: 'getCluster',
    tag: 'Operating',
    description: 'Rejects keys that are bound to a tenant.',
    answer: { status: 200, description: 'The nodes of the cluster', schema: 'Cluster' },
    examples: {
      alone: {
        summary: 'One node',
        answer: {
          node: 'n1',
          nodes: [{ id: 'n1', version: '1.0.0', connections: 2, since: '2026-01-02T03:04:05.678Z' }],
          total: 1,
        },
      },
      nodes: {
        summary: 'Two nodes (`BUS_URL`)',
        answer: {
          node: 'n1',
          nodes: [
            { id: 'n1', version: '1.0.0', connections: 1, since: '2026-01-02T03:04:05.678Z' },
            { id: 'n2', version: '1.0.0', connections: 1, since: '2026-01-02T03:04:05.912Z' },
          ],
          total: 2,
        },
      },
    },
  },
}
