/**
 * Work that is done once at a time, however many ask for it: those who ask while it is done share the next time, so that each
 * gets what was begun after it asked.
 */
export function takingTurns<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | undefined

  const begin = (): Promise<T> => {
    next = undefined
    return work()
  }

  return () => {
    if (next === undefined) {
      next = current.then(begin, begin)
      current = next
    }
    return next
  }
}
