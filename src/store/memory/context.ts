import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { StoreLimits, StoreObserver } from '../store.ts'
import type { Bodies } from './bodies.ts'
import type { Ledger } from './ledger.ts'
import type { DeliveryReports } from './reports.ts'
import type { Row, Rows } from './rows.ts'
import type { DeliveryStates } from './states.ts'

/** Everything that one log shares with the other logs of its store. */
export interface LogContext {
  readonly limits: StoreLimits
  readonly observer: StoreObserver
  readonly steady: Pick<SteadyClock, 'jumped'>
  readonly ledger: Ledger
  readonly rows: Rows
  readonly bodies: Bodies
  readonly reports: DeliveryReports
  readonly states: DeliveryStates
}

export interface ReadOptions<E> {
  readonly of: (row: Row, body: string) => E
  readonly unsettledOnly?: boolean
}
