import { PRIORITIES } from '../../protocol/values.ts'
import type { Draft } from '../store.ts'
import {
  APPENDED_AT,
  AT,
  ATTEMPTS,
  BY_TTL,
  ENDS_AT,
  EXPIRES_AT,
  FIRST_AT,
  FLAGS,
  KEPT,
  OCCURRED_AT,
  PRIORITY,
  REDELIVERED,
  type Row,
  type Rows,
  SEQ,
  STATE,
} from './rows.ts'
import { QUEUED } from './states.ts'

/** Facts about an entry that its draft does not contain. Times on the steady clock. */
interface Facts {
  readonly seq: number
  readonly appendedAt: number
  /** Infinite without a ttl. */
  readonly ttlEndsAt: number
  readonly ageEndsAt: number
  /** Milliseconds that the wall clock is ahead of the steady clock. */
  readonly jumped: number
}

/** Fills the row of a new entry, except for its links and its body. */
export function fill(rows: Rows, row: Row, draft: Draft, facts: Facts): void {
  const { priority, occurredAt, expiresAt = Number.POSITIVE_INFINITY, traceparent } = draft
  const { seq, appendedAt, ttlEndsAt, ageEndsAt, jumped } = facts
  rows.setDouble(row, SEQ, seq)
  rows.setDouble(row, AT, appendedAt + jumped)
  rows.setDouble(row, ENDS_AT, Math.min(ttlEndsAt, ageEndsAt))
  rows.setDouble(row, FIRST_AT, 0)
  rows.setDouble(row, APPENDED_AT, appendedAt)
  rows.setDouble(row, OCCURRED_AT, occurredAt)
  rows.setDouble(row, EXPIRES_AT, expiresAt)
  rows.setInteger(row, ATTEMPTS, 0)
  rows.setByte(row, STATE, QUEUED)
  rows.setByte(row, PRIORITY, PRIORITIES.indexOf(priority))
  rows.setByte(row, FLAGS, ttlEndsAt <= ageEndsAt ? KEPT | BY_TTL : KEPT)
  rows.setByte(row, REDELIVERED, 0)
  if (traceparent !== undefined) rows.traceparents.set(row, traceparent)
}
