import { createLRU } from 'lru.min'
import { createBackoff } from '../../lib/redis/backoff.ts'

/** Items that wait for another attempt, by the reason they share. */
export interface Holds<T> {
  isHeld(scope: string): boolean
  /** Number of items that wait. */
  readonly waiting: number
  /** Lets the item wait. True if it is the first failure of the scope. */
  park(scope: string, item: T): boolean
  /** Reports a success. True if the scope had failed before. */
  clear(scope: string): boolean
  /** Releases nothing any more. */
  freeze(): void
  /** Everything that waits. */
  readonly all: readonly T[]
}

interface HoldsOptions<T> {
  /** Whether an attempt can succeed. Nothing is released before. */
  readonly isReady: () => boolean
  /** Receives the items of a scope together, in the order in which they failed. */
  readonly onRelease: (items: readonly T[]) => void
}

const BACKOFF = { initialMs: 100, maxMs: 5_000 }
const LOOK_MS = 100
/** Scopes whose failures are remembered. */
const MAX_SCOPES = 10_000

interface Hold<T> {
  readonly items: T[]
  timer: Timer
}

export function createHolds<T>({ isReady, onRelease }: HoldsOptions<T>): Holds<T> {
  const backoff = createBackoff(BACKOFF)
  /** Failures since the last success, by scope. */
  const failures = createLRU<string, number>({ max: MAX_SCOPES })
  const holds = new Map<string, Hold<T>>()
  let waiting = 0
  let isFrozen = false

  const release = (scope: string, hold: Hold<T>): void => {
    if (isReady()) {
      holds.delete(scope)
      waiting -= hold.items.length
      onRelease(hold.items)
    } else hold.timer = setTimeout(release, LOOK_MS, scope, hold)
  }

  return {
    isHeld: scope => holds.has(scope),
    get waiting() {
      return waiting
    },
    park: (scope, item) => {
      waiting++
      const known = holds.get(scope)
      if (known !== undefined) {
        known.items.push(item)
        return false
      }
      const failed = failures.get(scope) ?? 0
      failures.set(scope, failed + 1)
      const hold: Hold<T> = { items: [item], timer: setTimeout(() => release(scope, hold), backoff(failed)) }
      if (isFrozen) clearTimeout(hold.timer)
      holds.set(scope, hold)
      return failed === 0
    },
    clear: scope => failures.delete(scope),
    freeze: () => {
      isFrozen = true
      for (const { timer } of holds.values()) clearTimeout(timer)
    },
    get all() {
      return [...holds.values()].flatMap(({ items }) => items)
    },
  }
}
