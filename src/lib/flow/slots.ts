/** Releases a slot; a second call does nothing. */
export type Release = () => void

/** Limits concurrency per name, so that each name gets only its share. */
export interface Slots {
  /** Waits for a free slot; undefined if too many callers wait already. */
  take(name: string): Promise<Release | undefined>
}

interface Line {
  taken: number
  readonly waiting: (() => void)[]
}

/** `most` slots for each name; beyond them up to `waiting` callers wait, first come first served. */
export function createSlots({ most, waiting }: { readonly most: number; readonly waiting: number }): Slots {
  const lines = new Map<string, Line>()

  const releaseOf = (name: string, line: Line): Release => {
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const next = line.waiting.shift()
      // Pass the slot to the next caller; it is never free in between.
      if (next !== undefined) return next()
      line.taken--
      if (line.taken === 0) lines.delete(name)
    }
  }

  return {
    take: async name => {
      const line = lines.get(name) ?? { taken: 0, waiting: [] }
      lines.set(name, line)
      if (line.taken >= most) {
        if (line.waiting.length >= waiting) return undefined
        await new Promise<void>(resolve => line.waiting.push(resolve))
      } else line.taken++
      return releaseOf(name, line)
    },
  }
}
