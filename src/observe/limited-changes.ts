import type { Clock } from '../lib/time/clock.ts'

/**
 * Limits lines about changes to `perSecond` in any second. A line above the limit waits, and the next one of its kind
 * replaces it: so the log ends with the present state. `held_back` counts the replaced lines.
 */
export function limitedChanges<F extends object>({
  perSecond,
  clock,
  kindOf,
  write,
}: {
  readonly perSecond: number
  readonly clock: Pick<Clock, 'monotonic'>
  /** Names what the line is about, out of a few. */
  readonly kindOf: (fields: F) => string
  readonly write: (fields: F & { readonly held_back?: number }) => void
}): (fields: F) => void {
  /** Times of the last lines, oldest first. */
  const times: number[] = []
  const waiting = new Map<string, F>()
  let timer: Timer | undefined
  let heldBack = 0

  const waitMs = (): number => {
    const [oldest] = times
    return times.length < perSecond || oldest === undefined ? 0 : oldest + 1000 - clock.monotonic()
  }

  const writeDue = (): void => {
    timer = undefined
    for (const [kind, fields] of waiting) {
      const ms = waitMs()
      if (ms > 0) {
        timer = setTimeout(writeDue, ms)
        timer.unref()
        return
      }
      waiting.delete(kind)
      times.push(clock.monotonic())
      if (times.length > perSecond) times.shift()
      write(heldBack > 0 ? { ...fields, held_back: heldBack } : fields)
      heldBack = 0
    }
  }

  return fields => {
    const kind = kindOf(fields)
    if (waiting.delete(kind)) heldBack++
    waiting.set(kind, fields)
    if (timer === undefined) writeDue()
  }
}
