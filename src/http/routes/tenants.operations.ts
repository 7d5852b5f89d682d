import { NAME_RULES } from '../../protocol/names.ts'
import { type Operations, segmentOf } from '../openapi/operation.ts'

const tenantStats = {
  active_connections: 2,
  total_connections: 2,
  messages_sent: 1,
  messages_delivered: 2,
}

export const tenantOperations: Operations = {
  'GET /api/v1/tenants': {
    id: 'listTenants',
    tag: 'Looking up',
    description: 'A key that is bound to a tenant sees only that tenant.',
    answer: {
      status: 200,
      description: 'Tenants that have a connection or have sent something since the start, by id',
      schema: 'Tenants',
    },
    examples: {
      one: {
        summary: 'One tenant',
        answer: { enabled: true, tenants: [{ tenant_id: 'default', stats: tenantStats }], total: 1 },
      },
    },
  },
  'GET /api/v1/tenants/:tenant_id': {
    id: 'getTenant',
    tag: 'Looking up',
    parameters: [segmentOf('tenant_id', 'Id of a tenant', 'default', NAME_RULES.tenant)],
    answer: { status: 200, description: 'The tenant', schema: 'Tenant' },
    errors: ['TENANT_NOT_FOUND'],
    examples: {
      tenant: {
        summary: 'A user with two connections',
        answer: {
          tenant_id: 'default',
          stats: tenantStats,
          connection_stats: { total_connections: 2, unique_users: 1 },
        },
      },
    },
  },
}
