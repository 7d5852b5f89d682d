import type { Database } from 'bun:sqlite'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Writer } from './batch.ts'

/** Bytes of the logs of one tenant. */
export interface TenantBytes {
  bytes: number
  /** The value when the batch that changed it began. */
  before: number
  hasChanged: boolean
}

/** Totals of all logs. */
export class LogTotals {
  messages = 0
  users = 0
  bytes = 0
  readonly #tenants = new Map<string, TenantBytes>()

  /** Counts once, at the start. The caller keeps the totals up to date. */
  constructor(db: Database) {
    const logs = db.query<{ owner: Topic; messages: number; bytes: number }, []>(
      'SELECT owner, low + normal + high + critical AS messages, bytes FROM logs',
    )
    for (const { owner, messages, bytes } of logs.iterate()) {
      this.messages += messages
      if (messages > 0) this.users++
      this.#add(tenantOf(owner), bytes)
    }
    const bodies = db.query<{ tenant: string; bytes: number }, []>('SELECT tenant, bytes FROM bodies')
    for (const { tenant, bytes } of bodies.iterate()) this.#add(tenant, bytes)
  }

  get totals(): ReturnType<Writer['totals']> {
    const { messages, users, bytes } = this
    return { messages, users, bytes }
  }

  tenant(name: string): TenantBytes {
    const known = this.#tenants.get(name)
    if (known !== undefined) return known
    const tenant = { bytes: 0, before: 0, hasChanged: false }
    this.#tenants.set(name, tenant)
    return tenant
  }

  #add(tenant: string, bytes: number): void {
    this.tenant(tenant).bytes += bytes
    this.bytes += bytes
  }
}
