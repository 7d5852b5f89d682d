import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { LogEntry } from './entry.ts'
import type { Ledger } from './ledger.ts'

/** What a log tells those around it. */
export interface LogContext {
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  readonly steady: Pick<SteadyClock, 'jumped'>
  readonly ledger: Ledger
  /** One text for all that are equal. */
  sharedName(eventType: string): string
  kept(entry: LogEntry, now: number): void
  left(): void
}

export interface ReadOptions<E> {
  readonly of: (entry: LogEntry, body: string) => E
  readonly unsettledOnly?: boolean
}
