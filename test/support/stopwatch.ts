import { readFileSync } from 'node:fs'

/** Milliseconds for which the main thread of a process has waited for a free core; 0 where the system does not tell. */
function waitedMs(pid: number | 'self'): number {
  try {
    const [, nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
    return Number(nanoseconds) / 1e6
  } catch {
    return 0
  }
}

/**
 * Starts to measure. Each call returns the milliseconds so far, without those in which this process waited for a core: a
 * busy machine does not make a service look slow, and its own work counts. `service` is the pid of a process that still
 * runs at the last call; its waits do not count either.
 */
export function startStopwatch(service?: number): () => number {
  const now = (): number => {
    const waited = waitedMs('self') + (service === undefined ? 0 : waitedMs(service))
    return performance.now() - waited
  }
  const startedAt = now()
  return () => now() - startedAt
}
