import type { Config } from '../config/config.ts'

/** Limits for the clients of one tenant; 0 = no limit. */
export interface TenantLimits {
  /** Connections of all its users together. */
  readonly tenant: number
  /** Connections of one user. */
  readonly user: number
  /** Channels of one connection. */
  readonly subscriptions: number
}

export type LimitsOf = (tenant: string) => TenantLimits

export type TenantSettings = Pick<
  Config,
  | 'tenantEnabled'
  | 'tenantDefaultMaxConnections'
  | 'tenantDefaultMaxConnectionsPerUser'
  | 'tenantDefaultMaxSubscriptionsPerConnection'
  | 'tenantOverrides'
  | 'websocketMaxConnectionsPerUser'
  | 'websocketMaxSubscriptionsPerConnection'
>

type Override = TenantSettings['tenantOverrides'] extends ReadonlyMap<string, infer O> ? O : never

/** The smaller of two limits; 0 = no limit. */
const smaller = (one: number, other: number): number => Math.min(one || other, other || one)

/** The limits of each tenant: its override, else the defaults, within the global limits. */
export function createTenantLimits(settings: TenantSettings): LimitsOf {
  const { websocketMaxConnectionsPerUser: user, websocketMaxSubscriptionsPerConnection: subscriptions } =
    settings
  if (!settings.tenantEnabled) return () => ({ tenant: 0, user, subscriptions })
  const limitsBy = (override: Override): TenantLimits => ({
    tenant: override.max_connections ?? settings.tenantDefaultMaxConnections,
    user: smaller(user, override.max_connections_per_user ?? settings.tenantDefaultMaxConnectionsPerUser),
    subscriptions: smaller(
      subscriptions,
      override.max_subscriptions_per_connection ?? settings.tenantDefaultMaxSubscriptionsPerConnection,
    ),
  })
  const defaults = limitsBy({})
  const overridden = new Map(
    [...settings.tenantOverrides].map(([tenant, override]) => [tenant, limitsBy(override)]),
  )
  return tenant => overridden.get(tenant) ?? defaults
}
