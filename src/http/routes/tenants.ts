import { Elysia } from 'elysia'
import type { Census, TenantCount } from '../../dispatch/census.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { SortedNames } from '../../lib/collections/sorted-names.ts'
import { inTurns } from '../../lib/flow/in-turns.ts'
import { NAME_RULE } from '../../lib/name.ts'
import { tenantTopic } from '../../notification/topic.ts'
import type { Stats } from '../../observe/stats.ts'
import { sentOf } from '../../observe/tally.ts'
import { isTenant } from '../../protocol/names.ts'
import { jsonAnswer, listText } from '../answer/listing.ts'
import type { Caller, Callers } from '../request/caller.ts'
import { segment } from '../request/parameters.ts'

interface TenantOptions {
  readonly census: Census
  readonly callers: Callers
  readonly stats: Pick<Stats, 'tally'>
  readonly tenancy: boolean
}

const maySee = ({ tenant, isBound }: Caller, seen: string): boolean => !isBound || seen === tenant

/** Routes of tenants that have a connection or have sent something since the start. */
export function tenantRoutes({ census, callers, stats: { tally }, tenancy }: TenantOptions) {
  const statsOf = (tenant: string, connections: number) => {
    const record = tally.find(tenant)
    return {
      active_connections: connections,
      total_connections: record.opened,
      messages_sent: sentOf(record),
      messages_delivered: record.delivered,
    }
  }
  /** Visible tenants by id. Yields to other requests: there may be 100,000 tenants. */
  const tenantsFor = async (caller: Caller): Promise<readonly TenantCount[]> => {
    const counts = new Map<string, number>()
    const names = new SortedNames()
    const add = (tenant: string, connections: number): void => {
      if (!maySee(caller, tenant)) return
      if (!counts.has(tenant)) names.add(tenant)
      counts.set(tenant, connections)
    }
    await inTurns(tally.tenants(), tenant => add(tenant, 0))
    await inTurns(await census.tenants(), ({ tenant, connections }) => add(tenant, connections))
    return names
      .after(undefined, Number.POSITIVE_INFINITY)
      .map(tenant => ({ tenant, connections: counts.get(tenant) ?? 0 }))
  }

  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'tenants', prefix: '/api/v1/tenants' })
    .get(
      '',
      async ({ request }) => {
        const caller = callers.of(request)
        const tenants = await tenantsFor(caller)
        const list = await listText(tenants, ({ tenant, connections }) => ({
          tenant_id: tenant,
          stats: statsOf(tenant, connections),
        }))
        return jsonAnswer(`{"enabled":${tenancy},"tenants":${list},"total":${tenants.length}}`)
      },
      route('Lists tenants'),
    )
    .get(
      '/:tenant_id',
      async ({ request, params }) => {
        const tenant = segment('tenant_id', params.tenant_id)
        if (!isTenant(tenant)) throw invalidValue('tenant_id', `expected ${NAME_RULE}`)
        const open = await census.connections(tenantTopic(tenant))
        const isKnown = open > 0 || tally.has(tenant)
        if (!isKnown || !maySee(callers.of(request), tenant)) throw new AppError('TENANT_NOT_FOUND')
        return {
          tenant_id: tenant,
          stats: statsOf(tenant, open),
          connection_stats: { total_connections: open, unique_users: await census.users(tenant) },
        }
      },
      route('Gets a tenant'),
    )
}
