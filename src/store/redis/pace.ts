/** Slows appends while cleanup lags, so that a store under any load does not only grow. */
export interface Pace {
  /** Resolves when cleanup has kept pace with these appends, or after MAX_WAIT_MS. Undefined while cleanup does not lag. */
  turn(appends: number): Promise<void> | undefined
  /** Counts cleaned logs. `isLagging`: more logs are due. */
  cleaned(logs: number, isLagging: boolean): void
}

interface WaitingAppend {
  /** Value of `cleaned` that it waits for. */
  readonly at: number
  readonly resolve: () => void
}

/** Cleaned logs per append, so that a backlog shrinks. */
const PER_APPEND = 2
/** Bounds the delay of one append; a failed cleanup ends it at once. */
const MAX_WAIT_MS = 3_000

export function createPace(): Pace {
  let isLate = false
  let cleaned = 0
  let promised = 0
  const waiting = new Set<WaitingAppend>()

  const release = (append: WaitingAppend): void => {
    if (waiting.delete(append)) append.resolve()
  }

  return {
    turn: appends => {
      if (!isLate) return undefined
      promised = Math.max(promised, cleaned) + PER_APPEND * appends
      return new Promise(resolve => {
        const append: WaitingAppend = { at: promised, resolve }
        waiting.add(append)
        setTimeout(() => release(append), MAX_WAIT_MS)
      })
    },
    cleaned: (logs, isLagging) => {
      isLate = isLagging
      cleaned += logs
      if (!isLate) promised = cleaned
      for (const append of waiting) if (append.at <= cleaned || !isLate) release(append)
    },
  }
}
