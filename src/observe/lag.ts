import type { Clock } from '../lib/clock.ts'

/** How late the event loop runs what is due. */
export interface Lag extends Disposable {
  /** The longest delay of the last 15 to 30 seconds, so that scrapes at usual intervals miss none. */
  readonly seconds: number
}

const TICK_MS = 100
const SPAN_MS = 15_000

export function watchLag(clock: Pick<Clock, 'monotonic'>): Lag {
  let dueAt = clock.monotonic() + TICK_MS
  let spanEndsAt = clock.monotonic() + SPAN_MS
  let longestMs = 0
  let longestBeforeMs = 0

  const tick = (): void => {
    const now = clock.monotonic()
    if (now >= spanEndsAt) {
      longestBeforeMs = longestMs
      longestMs = 0
      spanEndsAt = now + SPAN_MS
    }
    longestMs = Math.max(longestMs, now - dueAt)
    dueAt = now + TICK_MS
  }

  const timer = setInterval(tick, TICK_MS)
  timer.unref()

  return {
    get seconds() {
      return Math.max(longestMs, longestBeforeMs, clock.monotonic() - dueAt) / 1000
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
