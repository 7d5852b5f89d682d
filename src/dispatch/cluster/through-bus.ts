import { StoreAway, storeUnavailable } from '../../errors.ts'
import type { Dispatch } from '../dispatcher.ts'
import type { Cluster } from './cluster.ts'

const refuse = async (): Promise<never> => storeUnavailable(new StoreAway('the bus is away'))

/** Wraps a dispatch: a node that does not reach the others sends nothing, not even to its own connections. */
export const throughBus =
  (dispatch: Dispatch, { isUp }: Pick<Cluster, 'isUp'>): Dispatch =>
  envelope => {
    if (!isUp()) return refuse()
    const dispatched = dispatch(envelope)
    return dispatched instanceof Promise ? dispatched.catch(storeUnavailable) : dispatched
  }
