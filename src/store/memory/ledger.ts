import type { StoreLimits, Totals } from '../store.ts'

/** What an entry takes beside its body, in its log and among the notifications known by their id. */
export const ENTRY_BYTES = 600

/** What a user whose log is known takes, with or without entries. */
export const HEAD_BYTES = 250

/** What the logs of one tenant hold. */
export interface Account {
  bytes: number
}

/** Running totals of all logs: telling them costs the same however much they hold. */
export class Ledger {
  messages = 0
  users = 0
  #bytes = 0
  readonly #accounts = new Map<string, Account>()

  accountOf(tenant: string): Account {
    const account = this.#accounts.get(tenant) ?? { bytes: 0 }
    this.#accounts.set(tenant, account)
    return account
  }

  /** Fewer when `bytes` is negative. */
  add(account: Account, bytes: number): void {
    account.bytes += bytes
    this.#bytes += bytes
  }

  /** The tenant has no log any more. */
  close(tenant: string): void {
    if (this.#accounts.get(tenant)?.bytes === 0) this.#accounts.delete(tenant)
  }

  hasRoom(tenant: string, bytes: number, { maxBytes, tenantMaxBytes }: StoreLimits): boolean {
    if (maxBytes > 0 && this.#bytes + bytes > maxBytes) return false
    const held = this.#accounts.get(tenant)?.bytes ?? 0
    return tenantMaxBytes === 0 || held + bytes <= tenantMaxBytes
  }

  totals(): Totals {
    return { messages: this.messages, users: this.users, bytes: this.#bytes }
  }
}
