import { createLRU } from 'lru.min'
import type { Clock } from '../time/clock.ts'
import { every } from '../time/every.ts'

/** Capacity of a bucket in tokens, and its refill interval. */
export interface Rate {
  readonly capacity: number
  /** Milliseconds between two tokens. */
  readonly intervalMs: number
}

/** Result of a request for a token. */
export interface TakeResult {
  /** 0 if the token was granted, else whole milliseconds until one is available. */
  readonly waitMs: number
  /** Whole milliseconds until the bucket is full again. */
  readonly fullInMs: number
  /** Moment when the bucket is full again, monotonic milliseconds: the whole state of a bucket. */
  readonly fullAt: number
  /** Whole tokens left. */
  readonly left: number
}

/** Buckets of one node, by name. */
export interface Buckets extends Disposable {
  readonly size: number
  /** Takes a token from the bucket of this name; an unknown bucket is full. */
  take(name: string, rate: Rate): TakeResult
}

interface BucketsOptions {
  readonly clock: Clock
  /** Limits the buckets; beyond it the least recently used one is removed. */
  readonly max: number
  /** Interval at which full, unused buckets are removed, milliseconds. */
  readonly cleanupMs: number
}

/** Rounding error of floating point; without it a burst would miss its last token. */
const SLACK_MS = 1e-3
const UNUSED_MS = 300_000
/** Buckets removed in one turn of the event loop. */
const TURN = 1_000

const wholeMs = (ms: number): number => Math.max(0, Math.ceil(ms - SLACK_MS))

/**
 * Takes one token or several by the generic cell rate algorithm (ITU-T I.371). Maps the bucket's old `fullAt` to the new one.
 * Takes nothing if tokens are missing.
 */
export function take(fullAt: number, now: number, { capacity, intervalMs }: Rate, tokens = 1): TakeResult {
  const from = Math.max(fullAt, now)
  const next = from + tokens * intervalMs
  const waitMs = wholeMs(next - capacity * intervalMs - now)
  if (waitMs > 0) return { waitMs, fullAt: from, fullInMs: wholeMs(from - now), left: 0 }
  const left = Math.floor(capacity - (next - now - SLACK_MS) / intervalMs)
  return { waitMs, fullAt: next, fullInMs: wholeMs(next - now), left: Math.min(left, capacity) }
}

/** Creates buckets; each is stored as one number, the moment when it is full again. */
export function createBuckets({ clock, max, cleanupMs }: BucketsOptions): Buckets {
  const buckets = createLRU<string, number>({ max })
  const isUnused = (fullAt: number): boolean => clock.monotonic() - fullAt >= UNUSED_MS

  /** Removes buckets in small portions: after an attack there are many. */
  const remove = async (names: readonly string[]): Promise<void> => {
    for (const [n, name] of names.entries()) {
      if (isUnused(buckets.peek(name) ?? Number.POSITIVE_INFINITY)) buckets.delete(name)
      if (n % TURN === TURN - 1) await new Promise(setImmediate)
    }
  }

  const cleanUp = (): Promise<void> => {
    const names: string[] = []
    buckets.forEach((fullAt, name) => {
      if (isUnused(fullAt)) names.push(name)
    })
    return remove(names)
  }

  const cleaning = every(cleanupMs, cleanUp)

  return {
    get size() {
      return buckets.size
    },
    take: (name, rate) => {
      const taken = take(buckets.get(name) ?? 0, clock.monotonic(), rate)
      buckets.set(name, taken.fullAt)
      return taken
    },
    [Symbol.dispose]: () => cleaning[Symbol.dispose](),
  }
}
