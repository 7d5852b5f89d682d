import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  importJWK,
  type JSONWebKeySet,
  type JWK,
  type LocalJWKSet,
} from 'jose'
import type { Clock } from '../lib/time/clock.ts'

/** The part of a token's header that selects its key. */
export interface KeyHint {
  readonly alg: string
  readonly kid?: string
}

/** Public keys of another server, fetched in the background. */
export interface KeySet extends Disposable {
  /** False without a successful fetch within the last day. */
  readonly loaded: boolean
  /** The keys that may have signed such a token. Never throws; empty without a set. */
  keysFor(hint: KeyHint): Promise<readonly CryptoKey[]>
}

/** Result of a fetch; the reason is for the log. */
export type FetchResult = { readonly ok: true } | { readonly ok: false; readonly reason: string }

export type FetchKeySet = (
  url: string,
  init: { readonly signal: AbortSignal; readonly redirect: 'manual'; readonly headers: { accept: string } },
) => Promise<Response>

interface KeySetOptions {
  readonly url: URL | string
  readonly clock: Pick<Clock, 'monotonic'>
  readonly fetch?: FetchKeySet | undefined
  /** Called after every fetch, but not after disposal. */
  readonly onFetched?: ((fetched: FetchResult) => void) | undefined
}

const FRESH_MS = 10 * 60_000
const USABLE_MS = 24 * 3_600_000
const UNKNOWN_KEY_MS = 30_000
const TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 1000
const LAST_RETRY_MS = 30_000
const CHECK_MS = 1000
const MAX_BYTES = 1_048_576

async function bodyOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.byteLength
    if (size > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** Algorithms of keys without `alg`, by curve or key type. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  RSA: 'RS256',
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
}

const isUsable = async (key: JWK): Promise<boolean> => {
  const algorithm = key.alg ?? ALGORITHMS[key.crv ?? key.kty ?? '']
  if (key.kty === 'oct' || (key.use ?? 'sig') !== 'sig' || algorithm === undefined) return false
  return importJWK(key, algorithm).then(
    () => true,
    () => false,
  )
}

/** Whether any key of the set can verify a token. */
const hasUsableKey = async ({ keys }: JSONWebKeySet): Promise<boolean> =>
  (await Promise.all(keys.map(isUsable))).includes(true)

async function keysIn(set: LocalJWKSet, hint: KeyHint): Promise<readonly CryptoKey[]> {
  try {
    return [await set({ ...hint })]
  } catch (error) {
    return error instanceof errors.JWKSMultipleMatchingKeys ? Array.fromAsync(error) : []
  }
}

/** Starts the first fetch at once and does not wait for it. */
export function createKeySet({ url, clock, fetch: get = fetch, onFetched }: KeySetOptions): KeySet {
  const href = new URL(url).href
  const closing = new AbortController()
  let set: LocalJWKSet | undefined
  let loadedAt = 0
  let dueAt = clock.monotonic()
  let retryMs = FIRST_RETRY_MS
  let refetchAt = Number.NEGATIVE_INFINITY
  let underWay: Promise<void> | undefined

  async function load(): Promise<LocalJWKSet> {
    const response = await get(href, {
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      redirect: 'manual',
      headers: { accept: 'application/jwk-set+json, application/json' },
    })
    if (response.status !== 200) throw new Error(`status ${response.status}`)
    const fetched: unknown = JSON.parse(await bodyOf(response))
    const loaded = createLocalJWKSet(fetched as JSONWebKeySet)
    if (!(await hasUsableKey(loaded.jwks()))) throw new Error('no usable key in the set')
    return loaded
  }

  function replace(by: LocalJWKSet): FetchResult {
    set = by
    loadedAt = clock.monotonic()
    dueAt = loadedAt + FRESH_MS
    retryMs = FIRST_RETRY_MS
    return { ok: true }
  }

  function postpone(error: unknown): FetchResult {
    const now = clock.monotonic()
    // A failed fetch for an unknown key id must not shorten a set's life.
    if (now >= dueAt) {
      dueAt = now + retryMs
      retryMs = Math.min(2 * retryMs, LAST_RETRY_MS)
    }
    return { ok: false, reason: error instanceof Error ? error.message : 'unknown fault' }
  }

  async function fetchOnce(): Promise<void> {
    const fetched = await load().then(replace, postpone)
    underWay = undefined
    if (!closing.signal.aborted) onFetched?.(fetched)
  }

  /** Fetches the set; calls during a fetch share it. */
  function refresh(): Promise<void> {
    underWay ??= fetchOnce()
    return underWay
  }

  function refreshIfDue(): void {
    if (clock.monotonic() >= dueAt && !closing.signal.aborted) void refresh()
  }

  /** Fetches for an unknown key id. Rate limited, since clients can invent key ids. */
  async function refetch(): Promise<void> {
    if (underWay === undefined) {
      if (clock.monotonic() - refetchAt < UNKNOWN_KEY_MS || closing.signal.aborted) return
      refetchAt = clock.monotonic()
    }
    await refresh()
  }

  const usable = (): LocalJWKSet | undefined => (clock.monotonic() - loadedAt < USABLE_MS ? set : undefined)

  refreshIfDue()
  const timer = setInterval(refreshIfDue, CHECK_MS)
  timer.unref()

  return {
    get loaded() {
      return usable() !== undefined
    },
    keysFor: async hint => {
      refreshIfDue()
      const held = usable()
      if (held === undefined) return []
      const keys = await keysIn(held, hint)
      if (keys.length > 0) return keys
      await refetch()
      const fetched = usable()
      return fetched === undefined || fetched === held ? [] : keysIn(fetched, hint)
    },
    [Symbol.dispose]: () => {
      clearInterval(timer)
      closing.abort()
    },
  }
}
