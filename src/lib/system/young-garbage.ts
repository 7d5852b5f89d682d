import { edenGC } from 'bun:jsc'

/** Returns a function that collects young objects once in so many calls, after the turn. */
export function collectEvery(calls: number, collect: () => void = edenGC): () => void {
  let left = calls
  return () => {
    left--
    if (left > 0) return
    left = calls
    setImmediate(collect)
  }
}
