import type { SteadyClock } from '../lib/steady-clock.ts'
import type { Kept } from './kept.ts'
import type { Ledger } from './ledger.ts'
import type { StoreLimits, StoreObserver } from './store.ts'

/** What a log tells those around it. */
export interface Surroundings {
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  readonly steady: Pick<SteadyClock, 'jumped'>
  readonly ledger: Ledger
  /** One text for all that are equal. */
  sharedName(eventType: string): string
  kept(entry: Kept, now: number): void
  left(): void
}
