import { Elysia } from 'elysia'
import { AppError, invalidValue } from '../../errors.ts'
import { countConnections, countUsers } from '../../hub/census.ts'
import type { Hub } from '../../hub/hub.ts'
import { SortedNames } from '../../lib/collections/sorted-names.ts'
import { inTurns } from '../../lib/flow/in-turns.ts'
import { NAME_RULE } from '../../lib/name.ts'
import { tenantOf } from '../../notification/topic.ts'
import type { Stats } from '../../observe/stats.ts'
import { sentOf } from '../../observe/tally.ts'
import { isTenant } from '../../protocol/names.ts'
import { jsonAnswer, listText } from '../answer/listing.ts'
import type { Caller, Callers } from '../request/caller.ts'
import { segment } from '../request/parameters.ts'

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
  /** In order. Works in turns, since there may be a hundred thousand tenants. */
  const tenantsFor = async (caller: Caller): Promise<readonly string[]> => {
    const known = new Set<string>()
    const names = new SortedNames()
    const add = (tenant: string): void => {
      if (known.has(tenant) || !maySee(caller, tenant)) return
      known.add(tenant)
      names.add(tenant)
    }
    await inTurns(tally.tenants(), add)
    await inTurns(hub.rooms('tenant'), ({ topic }) => add(tenantOf(topic)))
    return names.after(undefined, Number.POSITIVE_INFINITY)
  }

  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'tenants', prefix: '/api/v1/tenants' })
    .get(
      '',
      async ({ request }) => {
        const caller = callers.of(request)
        const tenants = await tenantsFor(caller)
        const list = await listText(tenants, tenant => ({ tenant_id: tenant, stats: statsOf(tenant) }))
        return jsonAnswer(`{"enabled":${tenancy},"tenants":${list},"total":${tenants.length}}`)
      },
      route('Tenants'),
    )
    .get(
      '/:tenant_id',
      ({ request, params }) => {
        const tenant = segment('tenant_id', params.tenant_id)
        if (!isTenant(tenant)) throw invalidValue('tenant_id', `expected ${NAME_RULE}`)
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
