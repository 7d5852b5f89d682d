import type { Database } from 'bun:sqlite'
import { type Claim, RESERVED_MS, type Reservation } from '../idempotency.ts'
import type { Writer } from './batch.ts'
import type { BatchContext } from './entries.ts'
import { decodeText, encodeText } from './text.ts'

interface KeyRow {
  readonly n: number
  readonly fingerprint: string
  readonly id: string
  readonly first_at: number
  readonly reserved_until: number
  readonly answer: string | null
}

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

/** Idempotency keys and the answers to their requests. */
export function createKeys(
  db: Database,
  { ttlMs, context }: { readonly ttlMs: number; readonly context: BatchContext },
): Pick<Writer, 'reserve' | 'answer' | 'release'> {
  const select = db.query<KeyRow, [string]>(
    'SELECT n, fingerprint, id, first_at, reserved_until, answer FROM keys WHERE name = ?',
  )
  const insert = db.query(
    'INSERT INTO keys (name, fingerprint, id, first_at, reserved_until) VALUES (?, ?, ?, ?, ?)',
  )
  const extend = db.query('UPDATE keys SET reserved_until = ? WHERE n = ?')
  const remove = db.query('DELETE FROM keys WHERE n = ?')
  const record = db.query('UPDATE keys SET answer = ? WHERE n = ?')

  const begin = (claim: Claim): Reservation => {
    insert.run(nameOf(claim), claim.fingerprint, claim.id, context.now, context.now + RESERVED_MS)
    return { type: 'reserved', id: claim.id }
  }

  const again = (row: KeyRow, claim: Claim): Reservation => {
    const isSame = row.fingerprint === claim.fingerprint
    if (row.answer !== null)
      return isSame ? { type: 'answered', answer: decodeText(row.answer) } : { type: 'conflict' }
    if (context.now <= row.reserved_until)
      return isSame ? { type: 'in_progress', id: row.id } : { type: 'conflict' }
    if (isSame) {
      extend.run(context.now + RESERVED_MS, row.n)
      return { type: 'reserved', id: row.id }
    }
    remove.run(row.n)
    return begin(claim)
  }

  /** Finds the reservation of this very request, while it has no answer. */
  const openOf = (claim: Claim): KeyRow | undefined => {
    const row = select.get(nameOf(claim))
    return row?.id === claim.id && row.answer === null ? row : undefined
  }

  return {
    reserve: claim => {
      const row = select.get(nameOf(claim))
      if (row !== null && context.now <= row.first_at + ttlMs) return again(row, claim)
      if (row !== null) remove.run(row.n)
      return begin(claim)
    },
    answer: (claim, answer) => {
      const row = openOf(claim)
      if (row !== undefined) record.run(encodeText(answer), row.n)
    },
    release: (claim, how) => {
      const row = openOf(claim)
      if (row === undefined) return
      if (how === 'free') remove.run(row.n)
      else extend.run(0, row.n)
    },
  }
}
