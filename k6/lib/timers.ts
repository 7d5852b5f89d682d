import { clearTimeout, setTimeout } from 'k6/timers'

/** Timers that end together: a virtual user that still has one does not end. */
export interface Timers {
  after(ms: number, act: () => void): void
  /** First after `phase` milliseconds, then at this interval. Answers how to stop it. */
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
        // From the first one on, so that late ones do not add up.
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
