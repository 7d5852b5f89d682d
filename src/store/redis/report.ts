import { StoreAway } from '../../errors.ts'

/**
 * Tells a fault of our own that no caller waits for, as an unhandled rejection: the process logs and counts it, and goes on.
 * A store that is away is told elsewhere.
 */
export function report(error: unknown): void {
  if (!(error instanceof StoreAway)) void Promise.reject(error)
}
