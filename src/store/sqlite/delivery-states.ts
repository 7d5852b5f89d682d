import type { Database } from 'bun:sqlite'
import type { Topic } from '../../notification/topic.ts'
import type { AckResult } from '../acks.ts'
import type { StoreLimits } from '../store.ts'
import type { Writer } from './batch.ts'
import type { BatchContext, Entries } from './entries.ts'
import { BODY, ENTRY, type EntryRow, isPending, numberOf, stateOf } from './entry.ts'
import type { Head, Heads } from './heads.ts'
import { decodeText } from './text.ts'

/** Entries per call, so that no transaction becomes long. */
const MAX_ACKED = 5_000

type SeqRange = readonly [first: number, last: number]

/** Groups consecutive numbers into ranges. */
function runsOf(seqs: readonly number[]): readonly SeqRange[] {
  const runs: SeqRange[] = []
  let first = seqs[0] ?? 0
  seqs.forEach((seq, n) => {
    if (seqs[n + 1] === seq + 1) return
    runs.push([first, seq])
    first = seqs[n + 1] ?? 0
  })
  return runs
}

/** Changes of delivery states: handed over, received, acknowledged, given up. */
export function createDeliveryStates(
  db: Database,
  {
    heads,
    entries,
    limits,
    context,
  }: {
    readonly heads: Heads
    readonly entries: Entries
    readonly limits: StoreLimits
    readonly context: BatchContext
  },
): Pick<Writer, 'handed' | 'received' | 'ack' | 'ackThrough' | 'redeliver'> {
  const handSql = `UPDATE entries SET
       at = CASE state WHEN 0 THEN ?1 ELSE at END,
       first_at = CASE attempts WHEN 0 THEN ?1 ELSE first_at END,
       state = CASE state WHEN 0 THEN 1 ELSE state END,
       attempts = attempts + 1,
       redelivered = redelivered + ?2
     WHERE log = ?3 AND seq BETWEEN ?4 AND ?5 AND is_kept = 1`
  const hand = db.query(handSql)
  const handReturning = db.query<{ attempts: number }, [number, number, number, number, number]>(
    `${handSql} RETURNING attempts`,
  )
  const byId = db.query<EntryRow, [string, number]>(`SELECT ${ENTRY} FROM entries WHERE id = ? AND log = ?`)
  const bySeq = db.query<EntryRow & { body: string; trace: string | null }, [number, number]>(
    `SELECT ${ENTRY}, ${BODY}, trace FROM entries WHERE log = ? AND seq = ? AND is_kept = 1`,
  )
  const unacked = db.query<EntryRow, [number, number, number]>(
    `SELECT ${ENTRY} FROM entries WHERE log = ? AND is_kept = 1 AND seq <= ? AND is_acked = 0 ORDER BY seq LIMIT ?`,
  )
  const settle = db.query('UPDATE entries SET is_acked = 1 WHERE n = ?')
  const acknowledge = db.query(
    'UPDATE entries SET is_acked = 1, state = ?, at = ?, attempts = max(attempts, 1), first_at = ? WHERE n = ?',
  )
  const receive = db.query(
    `UPDATE entries SET state = ${numberOf('received')}, at = ?
     WHERE log = ? AND is_kept = 1 AND seq > ? AND seq <= ? AND state < ${numberOf('acked')}`,
  )
  const enter = db.query('UPDATE entries SET state = ?, at = ? WHERE n = ?')

  const deliver = (head: Head, [first, last]: SeqRange, at: number, redelivered: 0 | 1): void => {
    if (!limits.acknowledged) {
      hand.run(at, redelivered, head.id, first, last)
      return
    }
    const handed = handReturning.all(at, redelivered, head.id, first, last)
    const tracked = handed.filter(({ attempts }) => attempts === 1).length
    if (tracked > 0) context.observerCalls.push(['tracked', head.owner, tracked])
  }

  const find = (owner: Topic, epoch: string): Head | undefined => {
    const head = heads.find(owner)
    return head?.epoch === epoch ? head : undefined
  }

  const ackOne = (head: Head, entry: EntryRow): AckResult => {
    context.work()
    const state = stateOf(entry)
    const late = state === 'expired' || state === 'dropped'
    const acked = { late, cursor: head.at(entry.seq) }
    if (entry.is_acked === 1) return acked
    if (late) {
      settle.run(entry.n)
      return acked
    }
    // An acknowledgement proves a delivery that is not noted yet.
    const firstAt = entry.attempts === 0 ? context.now : entry.first_at
    if (entry.attempts === 0 && limits.acknowledged) context.observerCalls.push(['tracked', head.owner, 1])
    acknowledge.run(numberOf('acked'), context.now, firstAt, entry.n)
    context.observerCalls.push(['acked', head.owner, context.now - firstAt])
    return acked
  }

  return {
    handed: (owner, epoch, seqs, at) => {
      const head = find(owner, epoch)
      if (head !== undefined) for (const run of runsOf(seqs)) deliver(head, run, at, 0)
    },
    received: (owner, { epoch, seq }) => {
      const head = find(owner, epoch)
      // A cursor beyond the head proves no receipt.
      if (head === undefined || seq > head.seq || seq <= head.received) return
      receive.run(context.now, head.id, head.received, seq)
      head.received = seq
      heads.markChanged(head)
    },
    ack: (owner, ids) => {
      const head = heads.find(owner)
      return ids.map(id => {
        const entry = head && byId.get(id, head.id)
        return head && entry ? ackOne(head, entry) : undefined
      })
    },
    ackThrough: (owner, { epoch, seq }) => {
      const head = find(owner, epoch)
      if (head === undefined || seq > head.seq) return undefined
      const found = unacked.all(head.id, seq, MAX_ACKED)
      for (const entry of found) ackOne(head, entry)
      return { count: found.length, more: found.length === MAX_ACKED }
    },
    redeliver: (owner, { epoch, seq }, most) => {
      const head = find(owner, epoch)
      const entry = head && bySeq.get(head.id, seq)
      if (!head || !entry || !isPending(entry) || entries.hasEnded(entry)) return undefined
      if (entry.attempts >= most) {
        enter.run(numberOf('expired'), context.now, entry.n)
        context.observerCalls.push(['gaveUp', owner])
        return undefined
      }
      deliver(head, [seq, seq], context.now, 1)
      const redelivered = entry.redelivered + 1
      const { trace } = entry
      return { body: decodeText(entry.body), redelivered, ...(trace !== null && { traceparent: trace }) }
    },
  }
}
