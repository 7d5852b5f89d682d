import { timingSafeEqual } from 'node:crypto'

/** The holder of an accepted API key. */
export interface KeyHolder {
  /** Id of the key that reveals nothing of it; absent if no key is configured. */
  readonly id?: string
  /** The tenant that the key is bound to; absent if it serves all tenants. */
  readonly tenant?: string
}

/** The accepted values of `X-API-Key`. */
export interface ApiKeys {
  /** Takes the header, one character per byte, or null. Gives undefined for a wrong key. */
  holderOf(key: string | null): KeyHolder | undefined
}

interface KeysOptions {
  readonly keys: readonly string[]
  /** Keys that are bound to a tenant. */
  readonly bound: readonly { readonly tenant: string; readonly key: string }[]
}

const ANONYMOUS: KeyHolder = {}

const DIGEST_BYTES = 32

const digestOf = (text: string, into = new Uint8Array(DIGEST_BYTES)): Uint8Array =>
  Bun.SHA256.hash(text, into) as Uint8Array

/** Converts a key to its form in a header: one character per UTF-8 byte. */
const asHeader = (key: string): string => Buffer.from(key).toString('latin1')

/** Creates the check of API keys. Without any key every caller is accepted. */
export function createApiKeys({ keys, bound }: KeysOptions): ApiKeys {
  const all: readonly { readonly key: string; readonly tenant?: string }[] = [
    ...keys.map(key => ({ key })),
    ...bound,
  ]
  const known = all.map(({ key, ...rest }, n) => ({
    digest: digestOf(asHeader(key)),
    holder: { id: `key-${n}`, ...rest },
  }))
  /** Digest of the key under check, which ends in the turn in which it begins. */
  const shown = new Uint8Array(DIGEST_BYTES)

  return {
    holderOf: key => {
      if (known.length === 0) return ANONYMOUS
      if (key === null) return undefined
      digestOf(key, shown)
      let found: KeyHolder | undefined
      // Compares digests of all keys: timing reveals neither lengths nor the matching key.
      for (const { digest, holder } of known) if (timingSafeEqual(digest, shown)) found ??= holder
      return found
    },
  }
}
