import * as v from 'valibot'
import { NAME, NAME_RULE } from '../lib/name.ts'
import { list } from '../lib/setting.ts'

/** A key that is good for one tenant only. */
export interface TenantKey {
  readonly tenant: string
  readonly key: string
}

/** The tenant ends at the first colon. No header begins or ends with a blank. */
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

/** Limits of single tenants, by tenant; one that is absent keeps its default. */
export const tenantOverrides = v.pipe(
  v.string(),
  v.parseJson(),
  v.custom<object>(isObject),
  // As an object, a tenant named like what every object has would be passed over.
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

/** What is wrong with the keys taken together; undefined when nothing is. */
export function keyFault(apiKey: readonly string[], bound: readonly TenantKey[]): string | undefined {
  if (bound.some(({ key }) => apiKey.includes(key))) return 'keys that are not in API_KEY too'
  const tenantOf = new Map(bound.map(({ key, tenant }) => [key, tenant]))
  return bound.some(({ key, tenant }) => tenantOf.get(key) !== tenant)
    ? 'each key to be bound to one tenant'
    : undefined
}
