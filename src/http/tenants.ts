import { Elysia } from 'elysia'
import { AppError, meaningless } from '../errors.ts'
import { countConnections, countUsers, tenantsOf } from '../hub/census.ts'
import type { Hub } from '../hub/hub.ts'
import { NAME_RULE } from '../lib/name.ts'
import { isTenant } from '../notification/names.ts'
import type { Stats } from '../observe/stats.ts'
import { sentOf } from '../observe/tally.ts'
import type { Caller, Callers } from './caller.ts'
import { segment } from './parameters.ts'

interface TenantOptions {
  readonly hub: Hub
  readonly callers: Callers
  readonly stats: Pick<Stats, 'tally'>
  readonly tenancy: boolean
}

const maySee = ({ tenant, isBound }: Caller, seen: string): boolean => !isBound || seen === tenant

/** Tenants in which there is a connection or something has happened. */
export function tenantRoutes({ hub, callers, stats: { tally }, tenancy }: TenantOptions) {
  const statsOf = (tenant: string) => {
    const record = tally.find(tenant)
    return {
      active_connections: countConnections(hub, tenant),
      total_connections: record.opened,
      messages_sent: sentOf(record),
      messages_delivered: record.delivered,
    }
  }
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'tenants', prefix: '/api/v1/tenants' })
    .get(
      '',
      ({ request }) => {
        const caller = callers.of(request)
        const known = new Set([...tally.tenants(), ...tenantsOf(hub)])
        const tenants = [...known]
          .filter(tenant => maySee(caller, tenant))
          .sort()
          .map(tenant => ({ tenant_id: tenant, stats: statsOf(tenant) }))
        return { enabled: tenancy, tenants, total: tenants.length }
      },
      route('Tenants'),
    )
    .get(
      '/:tenant_id',
      ({ request, params }) => {
        const tenant = segment('tenant_id', params.tenant_id)
        if (!isTenant(tenant)) throw meaningless('tenant_id', `expected ${NAME_RULE}`)
        const open = countConnections(hub, tenant)
        const isKnown = open > 0 || tally.has(tenant)
        if (!isKnown || !maySee(callers.of(request), tenant)) throw new AppError('TENANT_NOT_FOUND')
        return {
          tenant_id: tenant,
          stats: statsOf(tenant),
          connection_stats: { total_connections: open, unique_users: countUsers(hub, tenant) },
        }
      },
      route('One tenant'),
    )
}
