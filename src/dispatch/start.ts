import { type Cursor, parseCursor } from '../notification/cursor.ts'
import type { Base, LogStart } from '../store/store.ts'

/** The cursor that a client presents, as text. Empty: it has seen nothing yet. */
export type ResumeRequest = { readonly cursor?: string }

/** The start of a connection. */
export interface StartPosition {
  /** Last seq before the start. */
  readonly position: number
  readonly recovered: boolean
  readonly reason?: 'epoch_changed' | 'trimmed'
}

export interface StartedConnection extends StartPosition {
  /** Undefined without a log. */
  readonly cursor: Cursor | undefined
  /** Retained entries after the start. */
  readonly replayed: number
}

/**
 * The last seq of the present epoch that a reader of an earlier one saw. Takes the smallest of the reader's
 * seq and all bases since. Example: `a:9` with bases `a:7` and `b:8` gives 7. Zero for an unknown epoch.
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
  // An empty cursor misses entries that were removed before any device received them.
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
