import type { OpenConnections, Reach } from '../dispatch/reach.ts'
import type { Hub } from '../hub/hub.ts'
import { type ConnectionLimitKind, overLimit } from '../limit/connections.ts'
import type { LimitsOf } from '../limit/tenants.ts'
import type { Peer } from './peer.ts'

/** The limit that a new connection would exceed together with connections on other nodes. */
type LimitCheck = (
  peer: Pick<Peer, 'principal' | 'owner'>,
  elsewhere: OpenConnections,
) => ConnectionLimitKind | undefined

export interface LimitCheckOptions {
  readonly hub: Pick<Hub<Peer>, 'size'>
  readonly reach: Pick<Reach, 'openConnections'>
  /** Connections of this node; 0 = no limit. */
  readonly maxConnections: number
  readonly limitsOf: LimitsOf
}

export const createLimitCheck =
  ({ hub, reach, maxConnections, limitsOf }: LimitCheckOptions): LimitCheck =>
  ({ principal: { tenant }, owner }, elsewhere) => {
    const here = reach.openConnections(tenant, owner)
    return overLimit(
      { total: maxConnections, ...limitsOf(tenant) },
      { total: hub.size, tenant: here.tenant + elsewhere.tenant, user: here.user + elsewhere.user },
    )
  }
