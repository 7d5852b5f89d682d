import type { Database } from 'bun:sqlite'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { Writer } from './batch.ts'

/** What the logs of one tenant take together. */
export interface Tenant {
  bytes: number
  /** As it was when the batch began that has changed it. */
  before: number
  hasChanged: boolean
}

/** What all logs hold together. */
export class Tally {
  messages = 0
  users = 0
  bytes = 0
  readonly #tenants = new Map<string, Tenant>()

  /** Once, at the start; from there on it is kept up to date. */
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

  tenant(name: string): Tenant {
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
