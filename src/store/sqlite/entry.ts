import type { DeliveryState } from '../store.ts'

/** In the order of their numbers in the file. */
const STATES: readonly DeliveryState[] = ['queued', 'sent', 'acked', 'expired', 'dropped', 'received']

/** An entry without its texts. */
export interface EntryRow {
  readonly n: number
  readonly seq: number
  readonly rank: number
  readonly state: number
  readonly attempts: number
  readonly redelivered: number
  readonly first_at: number
  readonly is_acked: number
  /** End by age, milliseconds since 1970. A ttl may end the entry earlier. */
  readonly ages_at: number
  readonly expires_at: number | null
  readonly is_kept: number
  /** Bytes of the entry's own body; null without one. */
  readonly size: number | null
  /** Number of the shared body, if any. */
  readonly shared: number | null
}

export const ENTRY = `n, seq, rank, state, attempts, redelivered, first_at, is_acked, ages_at, expires_at, is_kept,
  octet_length(body) AS size, shared`

/** Text of an entry's body, whether its own or shared. */
export const BODY = 'coalesce(body, (SELECT text FROM bodies WHERE bodies.n = shared)) AS body'

const OPEN: readonly DeliveryState[] = ['queued', 'sent', 'received']

export const stateOf = ({ state }: Pick<EntryRow, 'state'>): DeliveryState => STATES[state] ?? 'queued'
export const numberOf = (state: DeliveryState): number => STATES.indexOf(state)

/** Whether the state can still change: neither acknowledged nor expired nor dropped. */
export const isOpen = (entry: Pick<EntryRow, 'state'>): boolean => OPEN.includes(stateOf(entry))

/** Whether the entry was handed over and its acknowledgement, if on, is still due. */
export const isPending = (entry: Pick<EntryRow, 'state' | 'attempts'>): boolean =>
  entry.attempts > 0 && isOpen(entry)

export type Cause = 'ttl' | 'age' | 'overflow'

/** When ttl and age end together, the ttl counts. */
export const endOf = ({ ages_at, expires_at }: EntryRow): Cause =>
  expires_at !== null && expires_at <= ages_at ? 'ttl' : 'age'
