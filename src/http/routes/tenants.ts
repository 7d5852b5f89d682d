import { Elysia } from 'elysia'
import type { Census, TenantPage, TenantSummary } from '../../dispatch/census.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { NAME_RULE } from '../../lib/name.ts'
import { sentOf } from '../../observe/tally.ts'
import { isTenant } from '../../protocol/names.ts'
import { listText, withPartial } from '../answer/listing.ts'
import { createPageAnswers, keyOf } from '../answer/page-answers.ts'
import type { Caller, Callers } from '../request/caller.ts'
import { segment } from '../request/parameters.ts'

interface TenantOptions {
  readonly census: Census
  readonly callers: Callers
  readonly tenancy: boolean
}

const maySee = ({ tenant, isBound }: Caller, seen: string): boolean => !isBound || seen === tenant

const statsOf = ({ connections, opened, sent, delivered }: Omit<TenantSummary, 'tenant'>) => ({
  active_connections: connections,
  total_connections: opened,
  messages_sent: sent,
  messages_delivered: delivered,
})

/** Routes of tenants that have a connection or have sent something since the start. */
export function tenantRoutes({ census, callers, tenancy }: TenantOptions) {
  /** A bound key sees only its own tenant. */
  const tenantsFor = async ({ tenant, isBound }: Caller): Promise<TenantPage> => {
    if (!isBound) return census.tenants()
    const { isKnown, connections, tally, partial } = await census.tenant(tenant)
    const { opened, delivered } = tally
    const own = { tenant, connections, opened, sent: sentOf(tally), delivered }
    return { tenants: isKnown ? [own] : [], partial }
  }

  const answerPage = createPageAnswers()
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'tenants', prefix: '/api/v1/tenants' })
    .get(
      '',
      ({ request, server }) => {
        const caller = callers.of(request)
        return answerPage({ request, identity: keyOf(request), server }, async () => {
          const { tenants, partial } = await tenantsFor(caller)
          const list = await listText(tenants, summary => ({
            tenant_id: summary.tenant,
            stats: statsOf(summary),
          }))
          return withPartial(`{"enabled":${tenancy},"tenants":${list},"total":${tenants.length}}`, partial)
        })
      },
      route('Lists tenants'),
    )
    .get(
      '/:tenant_id',
      async ({ request, params }) => {
        const tenant = segment('tenant_id', params.tenant_id)
        if (!isTenant(tenant)) throw invalidValue('tenant_id', `expected ${NAME_RULE}`)
        if (!maySee(callers.of(request), tenant)) throw new AppError('TENANT_NOT_FOUND')
        const { isKnown, connections, users, tally, partial } = await census.tenant(tenant)
        if (!isKnown && !partial) throw new AppError('TENANT_NOT_FOUND')
        return {
          tenant_id: tenant,
          stats: statsOf({ ...tally, connections, sent: sentOf(tally) }),
          connection_stats: { total_connections: connections, unique_users: users },
          partial,
        }
      },
      route('Gets a tenant'),
    )
}
