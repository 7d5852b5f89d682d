/** A signal for one call, which aborts with the signal of the caller. */
export interface Following {
  readonly signal: AbortSignal
  end(): void
}

/** Listens once to each signal of a caller, however many calls share it: Node warns of more than ten listeners. */
export function createFollower(): (caller: AbortSignal | undefined) => Following {
  const groups = new WeakMap<AbortSignal, Set<AbortController>>()

  const groupOf = (caller: AbortSignal): Set<AbortController> => {
    const known = groups.get(caller)
    if (known) return known
    const group = new Set<AbortController>()
    groups.set(caller, group)
    caller.addEventListener('abort', () => {
      for (const each of group) each.abort(caller.reason)
    })
    return group
  }

  return caller => {
    const own = new AbortController()
    if (caller?.aborted) own.abort(caller.reason)
    const group = caller && groupOf(caller)
    group?.add(own)
    return { signal: own.signal, end: () => void group?.delete(own) }
  }
}
