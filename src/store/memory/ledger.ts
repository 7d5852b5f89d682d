import type { Topic } from '../../notification/topic.ts'
import type { StoreLimits, Totals } from '../store.ts'

/** Bytes an entry takes beside its body: its row, its places in the log and among the delivery reports. */
export const ENTRY_BYTES = 200

/** Bytes a known log takes, with or without entries. */
export const HEAD_BYTES = 250

/** Bytes of the logs of one tenant. */
export interface Account {
  bytes: number
  /** Users whose log has no entries, oldest first. Empty without a limit. */
  readonly idle: Set<Topic>
}

export const newAccount = (): Account => ({ bytes: 0, idle: new Set() })

const NONE: ReadonlySet<Topic> = new Set()

function setMember<T>(set: Set<T>, member: T, isMember: boolean): void {
  if (isMember) set.add(member)
  else set.delete(member)
}

/** Running totals of all logs. Reading them costs the same however much the logs hold. */
export class Ledger {
  messages = 0
  users = 0
  readonly #limits: Pick<StoreLimits, 'maxBytes' | 'tenantMaxBytes'>
  readonly #all = newAccount()
  readonly #accounts = new Map<string, Account>()

  constructor(limits: Pick<StoreLimits, 'maxBytes' | 'tenantMaxBytes'>) {
    this.#limits = limits
  }

  accountOf(tenant: string): Account {
    const account = this.#accounts.get(tenant) ?? newAccount()
    this.#accounts.set(tenant, account)
    return account
  }

  /** Adds bytes, or subtracts when `bytes` is negative. */
  add(account: Account, bytes: number): void {
    account.bytes += bytes
    this.#all.bytes += bytes
  }

  /** Removes the account of a tenant without logs. */
  close(tenant: string): void {
    if (this.#accounts.get(tenant)?.bytes === 0) this.#accounts.delete(tenant)
  }

  /** Notes that the log of a user has no entries, or has some again. */
  setIdle(account: Account, owner: Topic, isIdle: boolean): void {
    const { maxBytes, tenantMaxBytes } = this.#limits
    if (maxBytes > 0) setMember(this.#all.idle, owner, isIdle)
    if (tenantMaxBytes > 0) setMember(account.idle, owner, isIdle)
  }

  /** Returns the idle users of each limit that the bytes would exceed. */
  lacking(tenant: string, bytes: number): readonly ReadonlySet<Topic>[] {
    const { maxBytes, tenantMaxBytes } = this.#limits
    const account = this.#accounts.get(tenant)
    const exceeds = (held: number, most: number): boolean => most > 0 && held + bytes > most
    return [
      ...(exceeds(this.#all.bytes, maxBytes) ? [this.#all.idle] : []),
      ...(exceeds(account?.bytes ?? 0, tenantMaxBytes) ? [account?.idle ?? NONE] : []),
    ]
  }

  totals(): Totals {
    return { messages: this.messages, users: this.users, bytes: this.#all.bytes }
  }
}
