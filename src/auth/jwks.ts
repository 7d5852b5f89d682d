import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import * as v from 'valibot'
import type { Clock } from '../lib/clock.ts'

/** Fetches a document; the global `fetch` fits. */
export type Fetch = (url: string, init: { readonly signal: AbortSignal }) => Promise<Response>

/** A key set that is kept fresh in the background. */
export interface KeySet {
  /** The set to verify with now; undefined until a first one was loaded, or when the last is too old. */
  current(): JWTVerifyGetKey | undefined
  /** A token names a key that the set lacks: resolves when a fetch, if one is due, has ended. */
  missed(): Promise<void>
}

interface KeySetOptions {
  readonly url: string
  readonly clock: Pick<Clock, 'monotonic'>
  readonly fetch: Fetch
}

const FRESH_MS = 10 * 60_000
/** A storm of made-up key ids fetches at most so often. */
const BETWEEN_MS = 30_000
const TIMEOUT_MS = 5_000
/** During an outage the last good set serves so long. */
const KEPT_MS = 24 * 3_600_000

const keySet = v.object({ keys: v.array(v.looseObject({ kty: v.string() })) })

export function createKeySet({ url, clock, fetch }: KeySetOptions): KeySet {
  let set: { readonly keys: JWTVerifyGetKey; readonly at: number } | undefined
  let triedAt = Number.NEGATIVE_INFINITY
  let loading: Promise<void> | undefined

  const load = async (): Promise<void> => {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
      const found = v.parse(keySet, await response.json()) as JSONWebKeySet
      if (response.ok) set = { keys: createLocalJWKSet(found), at: clock.monotonic() }
    } catch {
      // The last good set goes on serving.
    }
    loading = undefined
  }

  const loadUnlessRecent = (): Promise<void> => {
    if (loading !== undefined || clock.monotonic() - triedAt < BETWEEN_MS) return loading ?? Promise.resolve()
    triedAt = clock.monotonic()
    loading = load()
    return loading
  }

  void loadUnlessRecent()
  return {
    current: () => {
      const age = set === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() - set.at
      if (age > FRESH_MS) void loadUnlessRecent()
      return age > KEPT_MS ? undefined : set?.keys
    },
    missed: loadUnlessRecent,
  }
}
