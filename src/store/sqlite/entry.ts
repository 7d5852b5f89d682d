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
  /** Delivered up to then, and up to the end of its ttl if it has one. */
  readonly ages_at: number
  readonly expires_at: number | null
  readonly is_kept: number
  /** Bytes of its own body; null without one. */
  readonly size: number | null
  /** The body that it shares, if any. */
  readonly shared: number | null
}

export const ENTRY = `n, seq, rank, state, attempts, redelivered, first_at, is_acked, ages_at, expires_at, is_kept,
  octet_length(body) AS size, shared`

/** The text of an entry's body, its own or the shared one. */
export const BODY = 'coalesce(body, (SELECT text FROM bodies WHERE bodies.n = shared)) AS body'

const OPEN: readonly DeliveryState[] = ['queued', 'sent', 'received']

export const stateOf = ({ state }: Pick<EntryRow, 'state'>): DeliveryState => STATES[state] ?? 'queued'
export const numberOf = (state: DeliveryState): number => STATES.indexOf(state)

/** Its state is not final: neither acknowledged nor expired nor dropped. */
export const isOpen = (entry: Pick<EntryRow, 'state'>): boolean => OPEN.includes(stateOf(entry))

/** Handed over, and its acknowledgement is still due where acknowledgement is on. */
export const isPending = (entry: Pick<EntryRow, 'state' | 'attempts'>): boolean =>
  entry.attempts > 0 && isOpen(entry)

export type Cause = 'ttl' | 'age' | 'overflow'

/** What would reach its ttl and its age in the same moment ends by its ttl. */
export const endOf = ({ ages_at, expires_at }: EntryRow): Cause =>
  expires_at !== null && expires_at <= ages_at ? 'ttl' : 'age'
