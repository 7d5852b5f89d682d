import { type Cursor, parseCursor } from '../notification/cursor.ts'
import type { Base, LogStart } from '../store/store.ts'

/** What a client presents when it connects: nothing, or the text of a cursor, empty for "nothing seen yet". */
export type ResumeRequest = { readonly cursor?: string }

/** Where it starts. */
export interface StartPosition {
  /** The last seq it does not get. */
  readonly position: number
  readonly recovered: boolean
  readonly reason?: 'epoch_changed' | 'trimmed'
}

export interface StartedConnection extends StartPosition {
  /** Undefined when there is no log. */
  readonly cursor: Cursor | undefined
  /** Retained entries after the start. */
  readonly replayed: number
}

/**
 * The place in the present life up to which a reader of an earlier one has surely seen the same: the smallest of its own
 * seq and of what every life since then kept. Zero when the life is not known.
 */
export function rebase({ epoch, seq }: Cursor, bases: readonly Base[]): number {
  const first = bases.findLastIndex(base => base.epoch === epoch)
  if (first < 0) return 0
  return Math.min(seq, ...bases.slice(first).map(base => base.seq))
}

export function startOf(
  { head, received, removedThrough, lostThrough, bases }: LogStart,
  { cursor: text }: ResumeRequest,
): StartPosition {
  if (text === undefined) return { position: received, recovered: true }
  // A client that has seen nothing misses the entries that no device received before they were removed.
  if (text === '')
    return lostThrough > 0
      ? { position: 0, recovered: false, reason: 'trimmed' }
      : { position: 0, recovered: true }
  const cursor = parseCursor(text)
  if (cursor === undefined) return { position: 0, recovered: false, reason: 'epoch_changed' }
  const same = cursor.epoch === head.epoch
  if (!same || cursor.seq > head.seq)
    return { position: same ? 0 : rebase(cursor, bases), recovered: false, reason: 'epoch_changed' }
  if (removedThrough > cursor.seq) return { position: cursor.seq, recovered: false, reason: 'trimmed' }
  return { position: cursor.seq, recovered: true }
}
