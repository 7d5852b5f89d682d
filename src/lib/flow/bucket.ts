import { createLRU } from 'lru.min'
import type { Clock } from '../time/clock.ts'
import { every } from '../time/every.ts'

/** How many tokens a bucket holds, and how fast it fills. */
export interface Rate {
  readonly capacity: number
  /** Milliseconds until one more token is there. */
  readonly intervalMs: number
}

/** What came of asking for a token. */
export interface TakeResult {
  /** 0 when there was one; else the whole milliseconds until there is one. */
  readonly waitMs: number
  /** Whole milliseconds until the bucket is full again. */
  readonly fullInMs: number
  /** When the bucket is full again, in monotonic milliseconds: all there is to know of a bucket. */
  readonly fullAt: number
  /** Whole tokens left. */
  readonly left: number
}

/** Buckets of one node, by name. */
export interface Buckets extends Disposable {
  readonly size: number
  /** Takes a token out of the bucket of that name; one that is not known is full. */
  take(name: string, rate: Rate): TakeResult
}

interface BucketsOptions {
  readonly clock: Clock
  /** Beyond it the least recently used one goes. */
  readonly max: number
  /** How often full ones that nobody uses are removed, milliseconds. */
  readonly cleanupMs: number
}

/** What floating point may add up to: without it the last token of a burst would be missing. */
const SLACK_MS = 1e-3
const UNUSED_MS = 300_000
/** Removed in one turn of the event loop. */
const TURN = 1_000

const wholeMs = (ms: number): number => Math.max(0, Math.ceil(ms - SLACK_MS))

/**
 * One token or several, by the generic cell rate algorithm (ITU-T I.371): `fullAt` of the bucket goes in, that of the bucket
 * afterwards comes out. Nothing is taken when there is none.
 */
export function take(fullAt: number, now: number, { capacity, intervalMs }: Rate, tokens = 1): TakeResult {
  const from = Math.max(fullAt, now)
  const next = from + tokens * intervalMs
  const waitMs = wholeMs(next - capacity * intervalMs - now)
  if (waitMs > 0) return { waitMs, fullAt: from, fullInMs: wholeMs(from - now), left: 0 }
  const left = Math.floor(capacity - (next - now - SLACK_MS) / intervalMs)
  return { waitMs, fullAt: next, fullInMs: wholeMs(next - now), left: Math.min(left, capacity) }
}

/** A bucket is one number: its name and when it is full. */
export function createBuckets({ clock, max, cleanupMs }: BucketsOptions): Buckets {
  const buckets = createLRU<string, number>({ max })
  const isUnused = (fullAt: number): boolean => clock.monotonic() - fullAt >= UNUSED_MS

  /** Bit by bit: after an attack there are many. */
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
