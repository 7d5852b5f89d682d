import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { LogEntry } from './entry.ts'
import type { Ledger } from './ledger.ts'

/** Everything that one log shares with the other logs of its store. */
export interface LogContext {
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  readonly steady: Pick<SteadyClock, 'jumped'>
  readonly ledger: Ledger
  /** Returns one shared string for equal event types. */
  sharedName(eventType: string): string
  kept(entry: LogEntry, now: number): void
  left(): void
}

export interface ReadOptions<E> {
  readonly of: (entry: LogEntry, body: string) => E
  readonly unsettledOnly?: boolean
}
