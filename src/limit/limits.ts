import { createMessageLimit, type MessageLimit } from './messages.ts'
import { type ConnectLimit, createRateLimits, type RateLimitOptions, type RequestLimit } from './requests.ts'
import { createTenantLimits, type LimitsOf, type TenantSettings } from './tenants.ts'

/** All limits of clients and callers. Rates are undefined without RATELIMIT_ENABLED. */
export interface Limits extends Disposable {
  readonly of: LimitsOf
  readonly requests: RequestLimit | undefined
  readonly connects: ConnectLimit | undefined
  readonly messages: MessageLimit | undefined
}

interface LimitsOptions extends RateLimitOptions {
  readonly settings: RateLimitOptions['settings'] &
    TenantSettings & { readonly ratelimitEnabled: boolean; readonly ratelimitWsMessagesPerSecond: number }
}

export function createLimits(options: LimitsOptions): Limits {
  const { settings, clock } = options
  const isRated = settings.ratelimitEnabled
  const rates = isRated ? createRateLimits(options) : undefined
  const perSecond = settings.ratelimitWsMessagesPerSecond

  return {
    of: createTenantLimits(settings),
    requests: rates?.requests,
    connects: rates?.connects,
    messages: isRated ? createMessageLimit({ perSecond, clock }) : undefined,
    [Symbol.dispose]: () => rates?.[Symbol.dispose](),
  }
}
