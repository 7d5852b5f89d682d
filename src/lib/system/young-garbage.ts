import { edenGC } from 'bun:jsc'

/** Returns a function that collects young objects once in so many calls, at once: after the turn, it frees far less. */
export function collectEvery(calls: number, collect: () => void = edenGC): () => void {
  let left = calls
  return () => {
    left--
    if (left > 0) return
    left = calls
    collect()
  }
}
