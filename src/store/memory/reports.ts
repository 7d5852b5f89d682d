import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { DeliveryReport, Recipient } from '../store.ts'
import type { LogEntry } from './entry.ts'

/** Entries of one notification, in the order of the send. Most notifications have one recipient. */
type NotificationEntries = LogEntry | LogEntry[]

/** A group of consecutive notifications. */
interface Generation {
  readonly byId: Map<string, NotificationEntries>
  /** When the last notification was added, on the steady clock. */
  lastAt: number
}

const isRetained = ({ body }: LogEntry): boolean => body !== undefined
const listOf = (entries: NotificationEntries): readonly LogEntry[] =>
  Array.isArray(entries) ? entries : [entries]

/** Small, because one generation is processed in one turn of the event loop. */
const GENERATION_SIZE = 4_096

/**
 * Entries of each notification by id: retained ones, and for a while those that left their log. Generations are dropped
 * whole. Deleting ids one by one would cost more than the rest of an append.
 */
export class DeliveryReports {
  readonly #maxLeft: number
  /** Oldest first. */
  readonly #generations: Generation[] = []
  #entries = 0
  #retained = 0

  /** `maxLeft`: about how many entries stay known after they left their log. */
  constructor(maxLeft: number) {
    this.#maxLeft = maxLeft
  }

  entryOf(id: string, owner: Topic): LogEntry | undefined {
    const entries = this.#find(id)
    return entries && listOf(entries).find(entry => entry.owner === owner)
  }

  add(entry: LogEntry, now: number): void {
    this.#retained++
    this.#insert(entry, now)
    if (this.#entries - this.#retained > this.#maxLeft + GENERATION_SIZE) this.#dropOldest()
  }

  /** Counts an entry that left its log. */
  left(): void {
    this.#retained--
  }

  /**
   * Forgets one generation from before that moment. Returns whether there was one. The caller ensures that no log retains
   * its entries.
   */
  forgetBefore(moment: number): boolean {
    if ((this.#generations[0]?.lastAt ?? moment) >= moment) return false
    this.#dropOldest()
    return true
  }

  find(
    tenant: string,
    id: string,
    { after, limit }: { readonly after?: Topic; readonly limit: number },
  ): DeliveryReport | undefined {
    const entries = this.#find(id)
    const all = entries === undefined ? [] : listOf(entries)
    const [first] = all
    if (first === undefined || tenantOf(first.owner) !== tenant) return undefined
    const { eventType, occurredAt, expiresAt } = first
    const at = after === undefined ? -1 : all.findIndex(({ owner }) => owner === after)
    const following = after !== undefined && at < 0 ? [] : all.slice(at + 1)
    const recipients = following
      .slice(0, limit)
      .map(({ owner, state, attempts, at }): Recipient => ({ owner, state, attempts, at }))
    return { id, eventType, occurredAt, ...(Number.isFinite(expiresAt) && { expiresAt }), recipients }
  }

  #find(id: string): NotificationEntries | undefined {
    return this.#generations.find(({ byId }) => byId.has(id))?.byId.get(id)
  }

  /** Keeps a notification in one generation: all its entries arrive in one turn. */
  #insert(entry: LogEntry, now: number): void {
    this.#entries++
    const last = this.#generations.at(-1)
    const known = last?.byId.get(entry.id)
    if (Array.isArray(known)) known.push(entry)
    else if (known !== undefined) last?.byId.set(entry.id, [known, entry])
    else this.#youngest(now).byId.set(entry.id, entry)
  }

  #youngest(now: number): Generation {
    const last = this.#generations.at(-1)
    if (last !== undefined && last.byId.size < GENERATION_SIZE) {
      last.lastAt = Math.max(last.lastAt, now)
      return last
    }
    const next = { byId: new Map<string, NotificationEntries>(), lastAt: now }
    this.#generations.push(next)
    return next
  }

  /** Moves entries that a log still retains to the youngest generation. */
  #dropOldest(): void {
    const oldest = this.#generations.shift()
    for (const entries of oldest?.byId.values() ?? []) {
      const all = listOf(entries)
      this.#entries -= all.length
      if (all.some(isRetained)) for (const entry of all) this.#insert(entry, oldest?.lastAt ?? 0)
    }
  }
}
