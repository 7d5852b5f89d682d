/**
 * Runs work once at a time, however many callers ask for it. Callers that ask during a run share the next run:
 * each result belongs to a run that began after the request.
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
