import * as v from 'valibot'
import { NAME, NAME_RULE } from '../lib/name.ts'
import { list } from '../lib/setting.ts'

/** An API key that is bound to a tenant. */
export interface TenantKey {
  readonly tenant: string
  readonly key: string
}

/** Splits at the first colon. A key cannot begin with a blank, since headers cannot. */
const TENANT_KEY = /^([^:]*):(\S.*)$/

const tenantKey = v.pipe(
  v.string(),
  v.regex(TENANT_KEY),
  v.transform((item): TenantKey => {
    const [, tenant = '', key = ''] = TENANT_KEY.exec(item) ?? []
    return { tenant, key }
  }),
  v.check(({ tenant }) => NAME.test(tenant)),
)

export const tenantKeys = v.pipe(
  list,
  v.array(tenantKey),
  v.readonly(),
  v.metadata({ expected: `a list of tenant:key; a tenant is ${NAME_RULE}` }),
)

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const most = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)))

/** Limits of single tenants by tenant; absent limits keep their defaults. */
export const tenantOverrides = v.pipe(
  v.string(),
  v.parseJson(),
  v.custom<object>(isObject),
  // A Map, since a tenant may be named like a member of Object.prototype.
  v.transform(object => new Map<string, unknown>(Object.entries(object))),
  v.map(
    v.pipe(v.string(), v.regex(NAME)),
    v.pipe(
      v.custom<object>(isObject),
      v.strictObject({
        max_connections: most,
        max_connections_per_user: most,
        max_subscriptions_per_connection: most,
      }),
    ),
  ),
  v.metadata({
    expected:
      'a JSON object of tenants with max_connections, max_connections_per_user, max_subscriptions_per_connection (whole numbers from 0)',
  }),
)

/** The fault of bound keys that conflict; undefined without one. */
export function keyFault(apiKey: readonly string[], bound: readonly TenantKey[]): string | undefined {
  if (bound.some(({ key }) => apiKey.includes(key))) return 'keys that are not in API_KEY too'
  const tenantOf = new Map(bound.map(({ key, tenant }) => [key, tenant]))
  return bound.some(({ key, tenant }) => tenantOf.get(key) !== tenant)
    ? 'each key to be bound to one tenant'
    : undefined
}
