import type { Clock } from '../lib/time/clock.ts'

/** Limits lines of one kind to `perSecond` in any second. The next line after a gap says in `held_back` how many are missing. */
export function limited<F extends object>({
  perSecond,
  clock,
  write,
}: {
  readonly perSecond: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly write: (fields: F & { readonly held_back?: number }) => void
}): (fields: F) => void {
  /** A ring with the times of the last lines written; `oldest` is the place of the first. */
  const times = Array.from({ length: perSecond }, () => Number.NEGATIVE_INFINITY)
  let oldest = 0
  let heldBack = 0
  return fields => {
    const now = clock.monotonic()
    if (now - (times[oldest] ?? now) < 1000) {
      heldBack++
      return
    }
    times[oldest] = now
    oldest = (oldest + 1) % perSecond
    write(heldBack > 0 ? { ...fields, held_back: heldBack } : fields)
    heldBack = 0
  }
}
