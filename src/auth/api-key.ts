import { timingSafeEqual } from 'node:crypto'

/** The keys callers show in `X-API-Key`. */
export interface ApiKeys {
  /** No key is configured: every caller is accepted. */
  readonly open: boolean
  /** Takes the header's value as HTTP gives it, one character per byte; null when there is none. */
  accepts(key: string | null): boolean
}

const digestOf = (text: string): Uint8Array => Bun.SHA256.hash(text, new Uint8Array(32)) as Uint8Array

/** A setting is UTF-8, a header is read byte by byte: a key outside ASCII meets itself only in the header's form. */
const asHeader = (key: string): string => Buffer.from(key).toString('latin1')

export function createApiKeys(keys: readonly string[]): ApiKeys {
  const known = keys.map(key => digestOf(asHeader(key)))
  const open = known.length === 0

  return {
    open,
    accepts: key => {
      if (open || key === null) return open
      const shown = digestOf(key)
      // Digests hide the length, and all keys are compared: the time tells neither which one fits nor how much of it.
      return known.filter(digest => timingSafeEqual(digest, shown)).length > 0
    },
  }
}
