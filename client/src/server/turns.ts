/** Lets a number of calls run at a time; the others wait in order. */
export interface Turns {
  /** Resolves with true when the call may run; with false when the time is over or the signal aborts. */
  enter(ms: number, signal: AbortSignal): Promise<boolean>
  /** Ends a call that entered. */
  leave(): void
}

export function createTurns(max: number): Turns {
  let free = max
  const waiting = new Set<() => void>()

  const waitFor = (ms: number, signal: AbortSignal): Promise<boolean> =>
    new Promise(resolve => {
      const end = (mayRun: boolean): void => {
        waiting.delete(enter)
        clearTimeout(timer)
        signal.removeEventListener('abort', giveUp)
        resolve(mayRun)
      }
      const enter = (): void => end(true)
      const giveUp = (): void => end(false)
      const timer = setTimeout(giveUp, ms)
      signal.addEventListener('abort', giveUp)
      waiting.add(enter)
    })

  return {
    enter: async (ms, signal) => {
      if (free === 0) return waitFor(ms, signal)
      free--
      return true
    },
    leave: () => {
      const [enter] = waiting
      // The next call takes over the place.
      if (enter) enter()
      else free++
    },
  }
}
