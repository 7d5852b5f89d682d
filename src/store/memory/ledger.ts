import type { StoreLimits, Totals } from '../store.ts'

/** Bytes an entry takes beside its body, in its log and among the delivery reports. */
export const ENTRY_BYTES = 600

/** Bytes a known log takes, with or without entries. */
export const HEAD_BYTES = 250

/** Bytes of the logs of one tenant. */
export interface Account {
  bytes: number
}

/** Running totals of all logs. Reading them costs the same however much the logs hold. */
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

  /** Adds bytes, or subtracts when `bytes` is negative. */
  add(account: Account, bytes: number): void {
    account.bytes += bytes
    this.#bytes += bytes
  }

  /** Removes the account of a tenant without logs. */
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
