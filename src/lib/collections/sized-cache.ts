import { createLRU } from 'lru.min'

interface SizedCacheOptions<K, V> {
  /** Limits the bytes of all values together. */
  readonly maxBytes: number
  readonly maxEntries: number
  readonly bytesOf: (key: K, value: V) => number
}

/** Keeps the most recently used values, up to a number of bytes. */
export interface SizedCache<K, V> {
  get(key: K): V | undefined
  set(key: K, value: V): void
}

export function createSizedCache<K, V>({
  maxBytes,
  maxEntries,
  bytesOf,
}: SizedCacheOptions<K, V>): SizedCache<K, V> {
  let bytes = 0
  const cache = createLRU<K, V>({
    max: maxEntries,
    // Also called for a replaced value.
    onEviction: (key, value) => {
      bytes -= bytesOf(key, value)
    },
  })

  return {
    get: cache.get,
    set: (key, value) => {
      cache.set(key, value)
      bytes += bytesOf(key, value)
      while (bytes > maxBytes) cache.evict(1)
    },
  }
}
