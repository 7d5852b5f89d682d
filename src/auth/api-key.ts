import { timingSafeEqual } from 'node:crypto'

/** Whoever shows a key that is accepted. */
export interface KeyHolder {
  /** Tells this key from the others, and nothing of it; absent when every caller is accepted. */
  readonly id?: string
  /** The one tenant its key is good for; absent when it is good for all. */
  readonly tenant?: string
}

/** The keys callers show in `X-API-Key`. */
export interface ApiKeys {
  /** Takes the header's value as HTTP gives it, one character per byte; null when there is none. Undefined for a wrong one. */
  holderOf(key: string | null): KeyHolder | undefined
}

interface KeysOptions {
  readonly keys: readonly string[]
  /** Keys bound to a tenant. */
  readonly bound: readonly { readonly tenant: string; readonly key: string }[]
}

const ANYBODY: KeyHolder = {}

const digestOf = (text: string): Uint8Array => Bun.SHA256.hash(text, new Uint8Array(32)) as Uint8Array

/** A setting is UTF-8, a header is read byte by byte: a key outside ASCII meets itself only in the header's form. */
const asHeader = (key: string): string => Buffer.from(key).toString('latin1')

/** Without any key every caller is accepted. */
export function createApiKeys({ keys, bound }: KeysOptions): ApiKeys {
  const all: readonly { readonly key: string; readonly tenant?: string }[] = [
    ...keys.map(key => ({ key })),
    ...bound,
  ]
  const known = all.map(({ key, ...rest }, n) => ({
    digest: digestOf(asHeader(key)),
    holder: { id: `key-${n}`, ...rest },
  }))

  return {
    holderOf: key => {
      if (known.length === 0) return ANYBODY
      if (key === null) return undefined
      const shown = digestOf(key)
      // Digests hide the length, and all keys are compared: the time tells neither which one fits nor how much of it.
      return known.filter(({ digest }) => timingSafeEqual(digest, shown))[0]?.holder
    },
  }
}
