import { createLRU } from 'lru.min'
import type { BusTopic } from '../../bus/bus.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { type Topic, tenantTopic, userTopic } from '../../notification/topic.ts'
import type { Census } from '../census.ts'
import type { OpenConnections, Reach } from '../reach.ts'
import type { Calls } from './calls.ts'
import { createQuestion } from './question.ts'

interface ElsewhereOptions {
  readonly local: Pick<Census, 'connections'>
  readonly calls: Pick<Calls, 'on' | 'ask'>
  readonly clock: Pick<Clock, 'monotonic'>
}

interface TenantCount {
  readonly askedAt: number
  readonly count: Promise<number>
}

/** Age up to which the count of a tenant is used again, however many of its clients connect. */
const TENANT_COUNT_MS = 1_000
/** Age up to which a count that leaves no room is used again: a connection may have been closed since. */
const FULL_COUNT_MS = 100
const MAX_TENANTS = 10_000

/** Counts connections on other nodes for the limits. A node that does not answer in time counts none. */
export function createElsewhere({ local, calls, clock }: ElsewhereOptions): Reach['countElsewhere'] {
  const tenants = createLRU<string, TenantCount>({ max: MAX_TENANTS })
  const ask = createQuestion<null, number>(
    calls,
    'open',
    async (_, topic) => (await local.connections(topic as Topic)).connections,
  )

  const count = async (topic: BusTopic): Promise<number> => {
    const { answers } = await ask(topic, null)
    return answers.reduce((sum, each) => sum + each, 0)
  }

  const countTenant = async (tenant: string, isFull: (elsewhere: number) => boolean): Promise<number> => {
    const now = clock.monotonic()
    const known = tenants.get(tenant)
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : now - known.askedAt
    if (known !== undefined && ageMs < TENANT_COUNT_MS) {
      const count = await known.count
      const isAnother = tenants.get(tenant) !== known
      if (ageMs < FULL_COUNT_MS || !isFull(count)) return count
      if (isAnother) return countTenant(tenant, isFull)
    }
    const counted = { askedAt: now, count: count(tenantTopic(tenant)) }
    tenants.set(tenant, counted)
    return counted.count
  }

  return async (tenant, user, limited, isFull = () => false): Promise<OpenConnections> => {
    const [ofUser, ofTenant] = await Promise.all([
      limited.user ? count(userTopic(tenant, user)) : 0,
      limited.tenant ? countTenant(tenant, isFull) : 0,
    ])
    return { user: ofUser, tenant: ofTenant }
  }
}
