import { Elysia } from 'elysia'
import type { Census, TenantSummary } from '../../dispatch/census.ts'
import { AppError, invalidValue } from '../../errors.ts'
import { SortedNames } from '../../lib/collections/sorted-names.ts'
import { inTurns } from '../../lib/flow/in-turns.ts'
import { NAME_RULE } from '../../lib/name.ts'
import { sentOf } from '../../observe/tally.ts'
import { isTenant } from '../../protocol/names.ts'
import { listText } from '../answer/listing.ts'
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
  /** Visible tenants by id. Yields to other requests: there may be 100,000 tenants. */
  const tenantsFor = async (caller: Caller): Promise<readonly TenantSummary[]> => {
    const summaries = new Map<string, TenantSummary>()
    const names = new SortedNames()
    await inTurns(await census.tenants(), summary => {
      if (!maySee(caller, summary.tenant)) return
      names.add(summary.tenant)
      summaries.set(summary.tenant, summary)
    })
    return names.after(undefined, Number.POSITIVE_INFINITY).flatMap(tenant => summaries.get(tenant) ?? [])
  }

  const answerPage = createPageAnswers()
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'tenants', prefix: '/api/v1/tenants' })
    .get(
      '',
      ({ request, server }) => {
        const caller = callers.of(request)
        return answerPage({ request, identity: keyOf(request), server }, async () => {
          const tenants = await tenantsFor(caller)
          const list = await listText(tenants, summary => ({
            tenant_id: summary.tenant,
            stats: statsOf(summary),
          }))
          return `{"enabled":${tenancy},"tenants":${list},"total":${tenants.length}}`
        })
      },
      route('Lists tenants'),
    )
    .get(
      '/:tenant_id',
      async ({ request, params }) => {
        const tenant = segment('tenant_id', params.tenant_id)
        if (!isTenant(tenant)) throw invalidValue('tenant_id', `expected ${NAME_RULE}`)
        const { isKnown, connections, users, tally } = await census.tenant(tenant)
        if (!isKnown || !maySee(callers.of(request), tenant)) throw new AppError('TENANT_NOT_FOUND')
        return {
          tenant_id: tenant,
          stats: statsOf({ ...tally, connections, sent: sentOf(tally) }),
          connection_stats: { total_connections: connections, unique_users: users },
        }
      },
      route('Gets a tenant'),
    )
}
