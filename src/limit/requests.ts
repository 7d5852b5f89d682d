import type { Config } from '../config/config.ts'
import { AppError } from '../errors.ts'
import { createBuckets, type Rate } from '../lib/flow/bucket.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type AddressOf, createAddressOf } from './address.ts'

/** `X-RateLimit-Limit`, `-Remaining` and `-Reset`. */
type RateHeaders = Readonly<Record<string, string>>

/** Takes a token out of a bucket and tells how it stands. Throws RATE_LIMITED when it is empty. */
type Charge = (identity: string) => RateHeaders

/** Requests over HTTP. */
export interface RequestLimit {
  /** `identity` names a caller, or what stands for one. */
  readonly charge: Charge
  /** Whoever is not known by anything better. */
  readonly addressOf: AddressOf
}

/** Tries to open a connection, by address. Throws RATE_LIMITED. */
export type ConnectLimit = (request: Request) => void

interface RateLimits extends Disposable {
  readonly requests: RequestLimit
  readonly connects: ConnectLimit
}

/** Where tokens that were and were not there are counted. */
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

/** Requests by caller or address, connections by address. Buckets are of this node. */
export function createRateLimits({ settings, peerOf, clock, stats }: RateLimitOptions): RateLimits {
  const buckets = createBuckets({
    clock,
    max: MAX_BUCKETS,
    cleanupMs: settings.ratelimitCleanupIntervalSeconds * SECOND_MS,
  })
  const addressOf = createAddressOf({ trusted: settings.trustedProxies, peerOf })

  /** `limit` is what callers are told: tokens a second or a minute. */
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
