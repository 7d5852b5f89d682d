import type { Database } from 'bun:sqlite'
import { createLRU } from 'lru.min'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Writer } from './batch.ts'
import { type Lives, present, textOf } from './life.ts'
import { LOG_BYTES } from './schema.ts'

interface LogRow {
  readonly id: number
  readonly owner: Topic
  readonly life: number
  readonly epoch: Epoch
  readonly bases: string
  readonly seq: number
  readonly received: number
  readonly removed_through: number
  readonly lost_through: number
  readonly bytes: number
  readonly appended_at: number
  readonly low: number
  readonly normal: number
  readonly high: number
  readonly critical: number
}

/** What is known of one log besides its entries. A class, since there are tens of thousands of them. */
export class Head {
  readonly id: number
  readonly owner: Topic
  readonly epoch: Epoch
  /** As the file keeps them. */
  readonly bases: string
  seq: number
  received: number
  removedThrough: number
  lostThrough: number
  /** What the log takes: itself, its entries and their own bodies. */
  bytes: number
  appendedAt: number
  /** Retained entries by rank. */
  readonly counts: [number, number, number, number]
  /** No retained entry of the rank has a smaller seq; spares looking from the beginning each time. */
  readonly from: [number, number, number, number] = [0, 0, 0, 0]

  constructor(row: LogRow, lives: Lives) {
    const { head, bases } = present(row, lives)
    this.id = row.id
    this.owner = row.owner
    this.epoch = head.epoch
    this.bases = textOf(bases)
    this.seq = row.seq
    this.received = row.received
    this.removedThrough = row.removed_through
    this.lostThrough = row.lost_through
    this.bytes = row.bytes
    this.appendedAt = row.appended_at
    this.counts = [row.low, row.normal, row.high, row.critical]
  }

  get tenant(): string {
    return tenantOf(this.owner)
  }

  get total(): number {
    const [low, normal, high, critical] = this.counts
    return low + normal + high + critical
  }

  at(seq: number): Cursor {
    return { epoch: this.epoch, seq }
  }
}

/** The heads of logs, most of them at hand; what changed is written at the end of each batch, however often it did. */
export interface Heads {
  find(owner: Topic): Head | undefined
  findOrMake(owner: Topic): Head
  changed(head: Head): void
  /** One retained entry more or less. */
  count(head: Head, rank: number, by: 1 | -1): void
  /** So many bytes more or less in a log. */
  weigh(head: Head, bytes: number): void
  /** So many bytes more or less that several logs of a tenant share. */
  weighShared(tenant: string, bytes: number): void
  totals(): Totals
  /** What the logs of a tenant take. */
  bytesOf(tenant: string): number
  /** All that was ever added to logs, whatever has left them since. */
  readonly grown: number
  /** Writes what changed so far, so that a savepoint keeps it; gives back what undoes what a tenant's logs change after. */
  save(tenant: string): () => void
  begin(): void
  write(): void
  /** What was changed since the beginning is not true any more. */
  rollBack(): void
  /** A log is not known any longer; the next one of its owner has another epoch. */
  forget(head: Head, next: Epoch): void
}

/** About 500 bytes each. */
const MAX_AT_HAND = 50_000

type Totals = ReturnType<Writer['totals']>

/** Once, at the start; from there on it is kept up to date. */
function countAll(db: Database): { readonly totals: Totals; readonly tenants: Map<string, number> } {
  const tenants = new Map<string, number>()
  let [messages, users, bytes] = [0, 0, 0]
  const add = (tenant: string, held: number): void => {
    tenants.set(tenant, (tenants.get(tenant) ?? 0) + held)
    bytes += held
  }
  const logs = db.query<{ owner: Topic; messages: number; bytes: number }, []>(
    'SELECT owner, low + normal + high + critical AS messages, bytes FROM logs',
  )
  for (const log of logs.iterate()) {
    messages += log.messages
    if (log.messages > 0) users++
    add(tenantOf(log.owner), log.bytes)
  }
  const bodies = db.query<{ tenant: string; bytes: number }, []>('SELECT tenant, bytes FROM bodies')
  for (const body of bodies.iterate()) add(body.tenant, body.bytes)
  return { totals: { messages, users, bytes }, tenants }
}

export function createHeads(db: Database, lives: Lives): Heads {
  const select = db.query<LogRow, [Topic]>('SELECT * FROM logs WHERE owner = ?')
  const insert = db.query<LogRow, [Topic, number]>(
    `INSERT INTO logs (owner, life, epoch, bases, seq, received, removed_through, appended_at, low, normal, high, critical)
     VALUES (?, ?, (SELECT epoch FROM service), '', 0, 0, 0, 0, 0, 0, 0, 0) RETURNING *`,
  )
  const update = db.query(
    `UPDATE logs SET life = ?, epoch = ?, bases = ?, seq = ?, received = ?, removed_through = ?, lost_through = ?,
     bytes = ?, appended_at = ?, low = ?, normal = ?, high = ?, critical = ? WHERE id = ?`,
  )
  const remove = db.query('DELETE FROM logs WHERE id = ?')
  const rename = db.query('UPDATE service SET epoch = ?')

  const dirty = new Set<Head>()
  const writeOne = (head: Head): void => {
    const { epoch, bases, seq, received, removedThrough, lostThrough, bytes, appendedAt, counts, id } = head
    const places = [seq, received, removedThrough, lostThrough, bytes, appendedAt]
    update.run(lives.number, epoch, bases, ...places, ...counts, id)
  }
  const atHand = createLRU<Topic, Head>({
    max: MAX_AT_HAND,
    // Read again in the same batch it would be as it was before.
    onEviction: (_, head) => {
      if (dirty.delete(head)) writeOne(head)
    },
  })

  const { totals: counted, tenants } = countAll(db)
  let totals = counted
  let before = totals
  /** Bytes of tenants as they were when the batch began, of those that it has changed. */
  const bytesBefore = new Map<string, number>()
  let grown = 0

  const weighShared = (tenant: string, bytes: number): void => {
    const was = tenants.get(tenant) ?? 0
    if (!bytesBefore.has(tenant)) bytesBefore.set(tenant, was)
    tenants.set(tenant, was + bytes)
    grown += Math.max(0, bytes)
    totals = { ...totals, bytes: totals.bytes + bytes }
  }

  const weigh = (head: Head, bytes: number): void => {
    head.bytes += bytes
    weighShared(head.tenant, bytes)
    dirty.add(head)
  }

  const keep = (row: LogRow | null): Head | undefined => {
    if (row === null) return undefined
    const head = new Head(row, lives)
    atHand.set(row.owner, head)
    return head
  }
  const find = (owner: Topic): Head | undefined => atHand.get(owner) ?? keep(select.get(owner))

  const write = (): void => {
    for (const head of dirty) writeOne(head)
    dirty.clear()
  }

  const forgetAtHand = (): void => {
    dirty.clear()
    atHand.clear()
  }

  return {
    find,
    findOrMake: owner => {
      const known = find(owner)
      if (known !== undefined) return known
      const head = keep(insert.get(owner, lives.number))
      if (head === undefined) throw new Error('the insert of a log returned nothing')
      weigh(head, LOG_BYTES)
      return head
    },
    changed: head => void dirty.add(head),
    count: (head, rank, by) => {
      const was = head.total
      head.counts[rank] = (head.counts[rank] ?? 0) + by
      totals = {
        ...totals,
        messages: totals.messages + by,
        users: totals.users + Number(was + by > 0) - Number(was > 0),
      }
      dirty.add(head)
    },
    weigh,
    weighShared,
    totals: () => totals,
    bytesOf: tenant => tenants.get(tenant) ?? 0,
    begin: () => {
      before = totals
      bytesBefore.clear()
    },
    get grown() {
      return grown
    },
    save: tenant => {
      write()
      const saved = { totals, bytes: tenants.get(tenant) ?? 0 }
      return () => {
        forgetAtHand()
        totals = saved.totals
        tenants.set(tenant, saved.bytes)
      }
    },
    write,
    rollBack: () => {
      forgetAtHand()
      totals = before
      for (const [tenant, bytes] of bytesBefore) tenants.set(tenant, bytes)
      bytesBefore.clear()
    },
    forget: (head, next) => {
      weigh(head, -head.bytes)
      remove.run(head.id)
      rename.run(next)
      dirty.delete(head)
      atHand.delete(head.owner)
    },
  }
}
