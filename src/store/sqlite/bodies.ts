import type { Database } from 'bun:sqlite'
import type { Heads } from './heads.ts'

/** A body that several entries of one notification share. */
export interface SharedBody {
  readonly n: number
  readonly tenant: string
  readonly bytes: number
  /** Number of retained entries that share the body. */
  entries: number
  isInFile: boolean
}

/** Shared bodies. Each is kept until the last of its entries leaves its log. */
export interface Bodies {
  begin(tenant: string, text: string): SharedBody
  /** Stores the body, if any entry was appended with it. */
  keep(body: SharedBody, text: string): void
  /** Call when an entry that shares the body has left its log. */
  release(n: number): void
  /** Writes the releases of this batch. */
  write(): void
  rollBack(): void
}

type BodyRow = Omit<SharedBody, 'isInFile'>

export function createBodies(db: Database, heads: Heads): Bodies {
  const insert = db.query('INSERT INTO bodies (n, tenant, entries, bytes, text) VALUES (?, ?, ?, ?, ?)')
  const select = db.query<BodyRow, [number]>('SELECT n, tenant, entries, bytes FROM bodies WHERE n = ?')
  const update = db.query('UPDATE bodies SET entries = ? WHERE n = ?')
  const remove = db.query('DELETE FROM bodies WHERE n = ?')
  /** Bodies used in this batch. Each row is written once, at the end, because writing it rewrites the text. */
  const loaded = new Map<number, SharedBody>()
  const released = new Set<SharedBody>()
  let last = db.query<{ n: number | null }, []>('SELECT max(n) AS n FROM bodies').get()?.n ?? 0

  const find = (n: number): SharedBody | undefined => {
    const known = loaded.get(n)
    const row = known === undefined ? select.get(n) : null
    if (row === null) return known
    const body = { ...row, isInFile: true }
    loaded.set(n, body)
    return body
  }

  const clear = (): void => {
    loaded.clear()
    released.clear()
  }

  return {
    begin: (tenant, text) => {
      const bytes = Buffer.byteLength(text)
      const body = { n: ++last, tenant, bytes, entries: 0, isInFile: false }
      loaded.set(body.n, body)
      return body
    },
    keep: (body, text) => {
      const { n, tenant, bytes, entries } = body
      if (entries === 0) return
      insert.run(n, tenant, entries, bytes, text)
      body.isInFile = true
      heads.weighShared(tenant, bytes)
    },
    release: n => {
      const body = find(n)
      if (body === undefined) return
      body.entries--
      if (!body.isInFile) return
      released.add(body)
      if (body.entries === 0) heads.weighShared(body.tenant, -body.bytes)
    },
    write: () => {
      for (const { n, entries } of released)
        if (entries === 0) remove.run(n)
        else update.run(entries, n)
      clear()
    },
    rollBack: clear,
  }
}
