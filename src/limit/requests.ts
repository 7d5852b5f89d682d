import type { Config } from '../config/config.ts'
import { AppError } from '../errors.ts'
import { createBuckets, type Rate } from '../lib/flow/bucket.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type AddressOf, createAddressOf } from './address.ts'

/** Headers `X-RateLimit-Limit`, `-Remaining` and `-Reset`. */
type RateHeaders = Readonly<Record<string, string>>

/** Takes a token from a bucket and gives its state. Throws RATE_LIMITED if it is empty. */
type Charge = (identity: string) => RateHeaders

/** Rate limit of HTTP requests. */
export interface RequestLimit {
  /** Charges a caller, a client, or an address. */
  readonly charge: Charge
  /** Identity of a request without a valid key or token. */
  readonly addressOf: AddressOf
}

/** Charges the address that opens a connection. Throws RATE_LIMITED. */
export type ConnectLimit = (request: Request) => void

interface RateLimits extends Disposable {
  readonly requests: RequestLimit
  readonly connects: ConnectLimit
}

/** Counters of allowed and denied requests and connections. */
interface Counts {
  readonly rateAllowed: Record<'http' | 'ws', number>
  readonly rateDenied: Record<'http' | 'ws', number>
}

export interface RateLimitOptions {
  readonly settings: Pick<
    Config,
    | 'ratelimitHttpRequestsPerSecond'
    | 'ratelimitHttpBurstSize'
    | 'ratelimitWsConnectionsPerMinute'
    | 'ratelimitCleanupIntervalSeconds'
    | 'trustedProxies'
  >
  readonly peerOf: (request: Request) => string | undefined
  readonly clock: Clock
  readonly stats: Counts
}

const MAX_BUCKETS = 100_000
const SECOND_MS = 1_000
const MINUTE_MS = 60_000

/** Rate limits of this node: requests by caller or address, connections by address. */
export function createRateLimits({ settings, peerOf, clock, stats }: RateLimitOptions): RateLimits {
  const buckets = createBuckets({
    clock,
    max: MAX_BUCKETS,
    cleanupMs: settings.ratelimitCleanupIntervalSeconds * SECOND_MS,
  })
  const addressOf = createAddressOf({ trusted: settings.trustedProxies, peerOf })

  /** `limit` is the value of `X-RateLimit-Limit`: tokens per second or minute. */
  const chargeBy = (kind: 'http' | 'ws', limit: number, rate: Rate): Charge => {
    return identity => {
      const { waitMs, fullInMs, left } = buckets.take(`${kind}:${identity}`, rate)
      const headers = {
        'x-ratelimit-limit': String(limit),
        'x-ratelimit-remaining': String(left),
        'x-ratelimit-reset': String(Math.ceil(clock.now()) + fullInMs),
      }
      const isAllowed = waitMs === 0
      ;(isAllowed ? stats.rateAllowed : stats.rateDenied)[kind]++
      if (isAllowed) return headers
      const retryAfter = String(Math.ceil(waitMs / SECOND_MS))
      throw new AppError('RATE_LIMITED', { headers: { ...headers, 'retry-after': retryAfter } })
    }
  }

  const perSecond = settings.ratelimitHttpRequestsPerSecond
  const perMinute = settings.ratelimitWsConnectionsPerMinute
  const charge = chargeBy('http', perSecond, {
    capacity: settings.ratelimitHttpBurstSize,
    intervalMs: SECOND_MS / perSecond,
  })
  const connect = chargeBy('ws', perMinute, { capacity: perMinute, intervalMs: MINUTE_MS / perMinute })

  return {
    requests: { charge, addressOf },
    connects: request => void connect(addressOf(request)),
    [Symbol.dispose]: () => buckets[Symbol.dispose](),
  }
}
