import { clearTimeout, setTimeout } from 'k6/timers'

/** Timers that end together: a virtual user with a timer does not end. */
export interface Timers {
  after(ms: number, act: () => void): void
  /** Runs after `phase` milliseconds, then at this interval. Returns the function that stops it. */
  every(ms: number, phase: number, act: () => void): () => void
  end(): void
}

export function createTimers(): Timers {
  const running = new Set<ReturnType<typeof setTimeout>>()
  let ended = false

  const after = (ms: number, act: () => void): void => {
    if (ended) return
    const timer = setTimeout(
      () => {
        running.delete(timer)
        act()
      },
      Math.max(0, ms),
    )
    running.add(timer)
  }

  return {
    after,
    every: (ms, phase, act) => {
      let stopped = false
      const startedAt = Date.now() + phase
      let count = 0
      const beat = (): void => {
        if (stopped) return
        act()
        // Count from the first run, so that delays do not add up.
        after(startedAt + ++count * ms - Date.now(), beat)
      }
      after(phase, beat)
      return () => {
        stopped = true
      }
    },
    end: () => {
      ended = true
      for (const timer of running) clearTimeout(timer)
      running.clear()
    },
  }
}
