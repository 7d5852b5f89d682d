import type { Database } from 'bun:sqlite'
import { createLRU } from 'lru.min'
import type { Cursor, Epoch } from '../../notification/cursor.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Writer } from './batch.ts'
import { inCurrentLife, type Lives, textOf } from './life.ts'
import { LogTotals, type TenantBytes } from './log-totals.ts'
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

/** State of one log besides its entries. A class, because there are tens of thousands of them. */
export class Head {
  readonly id: number
  readonly owner: Topic
  readonly tenant: TenantBytes
  readonly epoch: Epoch
  /** As stored in the file. */
  readonly bases: string
  seq: number
  received: number
  removedThrough: number
  lostThrough: number
  /** Bytes of the log: the head, its entries and their own bodies. */
  bytes: number
  appendedAt: number
  /** Retained entries by rank. */
  readonly counts: [number, number, number, number]
  /** No retained entry of the rank has a smaller seq. Saves a search from the beginning each time. */
  readonly from: [number, number, number, number] = [0, 0, 0, 0]

  constructor(row: LogRow, tenant: TenantBytes, lives: Lives) {
    const { head, bases } = inCurrentLife(row, lives)
    this.tenant = tenant
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

  get total(): number {
    const [low, normal, high, critical] = this.counts
    return low + normal + high + critical
  }

  at(seq: number): Cursor {
    return { epoch: this.epoch, seq }
  }
}

/** Whether no trace of any entry is left. Only then may the log be forgotten. */
export const isBare = ({ bytes }: Head): boolean => bytes <= LOG_BYTES

/** Heads of logs, most of them cached. Changed heads are written once, at the end of each batch. */
export interface Heads {
  find(owner: Topic): Head | undefined
  findOrMake(owner: Topic): Head
  markChanged(head: Head): void
  /** Counts one retained entry more or less, and its bytes. */
  count(head: Head, rank: number, by: 1 | -1, bytes: number): void
  /** Adds bytes to a log, or subtracts when negative. */
  weigh(head: Head, bytes: number): void
  /** Adds bytes that several logs of a tenant share, or subtracts when negative. */
  weighShared(tenant: string, bytes: number): void
  totals(): ReturnType<Writer['totals']>
  /** Bytes of a tenant's logs. */
  bytesOf(tenant: string): number
  /** Sum of all bytes ever added, ignoring removals. */
  readonly grown: number
  /** Writes pending changes, so that a savepoint keeps them. Returns an undo of later changes to a tenant's logs. */
  save(tenant: string): () => void
  begin(): void
  write(): void
  /** Undoes the changes since `begin`. */
  rollBack(): void
  /** Forgets a log. The next log of the same user has the epoch `next`. */
  forget(head: Head, next: Epoch): void
}

/** Cached heads; about 500 bytes each. */
const MAX_CACHED = 50_000

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
    const { id, epoch, bases, seq, received, removedThrough, lostThrough, bytes, appendedAt } = head
    const [low, normal, high, critical] = head.counts
    // Arguments one by one: a spread costs more than the statement.
    update.run(
      lives.number,
      epoch,
      bases,
      seq,
      received,
      removedThrough,
      lostThrough,
      bytes,
      appendedAt,
      low,
      normal,
      high,
      critical,
      id,
    )
  }
  const cache = createLRU<Topic, Head>({
    max: MAX_CACHED,
    // Writes a changed head before it leaves the cache; a re-read must see the change.
    onEviction: (_, head) => {
      if (dirty.delete(head)) writeOne(head)
    },
  })

  const sums = new LogTotals(db)
  let before = sums.totals
  let changedTenants: TenantBytes[] = []
  let grown = 0

  const change = (tenant: TenantBytes, bytes: number): void => {
    if (!tenant.hasChanged) {
      tenant.before = tenant.bytes
      tenant.hasChanged = true
      changedTenants.push(tenant)
    }
    tenant.bytes += bytes
    sums.bytes += bytes
    if (bytes > 0) grown += bytes
  }

  const weigh = (head: Head, bytes: number): void => {
    head.bytes += bytes
    change(head.tenant, bytes)
    dirty.add(head)
  }

  const keepTenants = (): void => {
    for (const tenant of changedTenants) tenant.hasChanged = false
    changedTenants = []
  }

  const keep = (row: LogRow | null): Head | undefined => {
    if (row === null) return undefined
    const head = new Head(row, sums.tenant(tenantOf(row.owner)), lives)
    cache.set(row.owner, head)
    return head
  }
  const find = (owner: Topic): Head | undefined => cache.get(owner) ?? keep(select.get(owner))

  const write = (): void => {
    for (const head of dirty) writeOne(head)
    dirty.clear()
  }

  const clearCache = (): void => {
    dirty.clear()
    cache.clear()
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
    markChanged: head => void dirty.add(head),
    count: (head, rank, by, bytes) => {
      const was = head.total
      head.counts[rank] = (head.counts[rank] ?? 0) + by
      sums.messages += by
      sums.users += Number(was + by > 0) - Number(was > 0)
      weigh(head, bytes)
    },
    weigh,
    weighShared: (tenant, bytes) => change(sums.tenant(tenant), bytes),
    totals: () => sums.totals,
    bytesOf: tenant => sums.tenant(tenant).bytes,
    begin: () => {
      before = sums.totals
      keepTenants()
    },
    get grown() {
      return grown
    },
    save: name => {
      write()
      const tenant = sums.tenant(name)
      const saved = { totals: sums.totals, bytes: tenant.bytes }
      return () => {
        clearCache()
        Object.assign(sums, saved.totals)
        tenant.bytes = saved.bytes
      }
    },
    write,
    rollBack: () => {
      clearCache()
      Object.assign(sums, before)
      for (const tenant of changedTenants) tenant.bytes = tenant.before
      keepTenants()
    },
    forget: (head, next) => {
      weigh(head, -head.bytes)
      remove.run(head.id)
      rename.run(next)
      dirty.delete(head)
      cache.delete(head.owner)
    },
  }
}
