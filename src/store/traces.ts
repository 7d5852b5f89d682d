import { Deque } from '../lib/deque.ts'
import { type Topic, tenantOf } from '../notification/topic.ts'
import type { Kept } from './retained.ts'
import type { Recipient, Trace } from './store.ts'

/** The entries of one notification: most have one recipient. */
type Entries = Kept | Map<Topic, Kept>

const listOf = (entries: Entries): readonly Kept[] =>
  entries instanceof Map ? [...entries.values()] : [entries]

/** Every notification that a log retains, by id, and for a while what has become of it after that. */
export class Traces {
  readonly #byId = new Map<string, Entries>()
  /** Ids of those that no log retains, in the order of their leaving. */
  readonly #left = new Deque<Kept>()
  readonly #maxLeft: number

  /** Of those that no log retains any more so many stay known. */
  constructor(maxLeft: number) {
    this.#maxLeft = maxLeft
  }

  entryOf(id: string, owner: Topic): Kept | undefined {
    const entries = this.#byId.get(id)
    if (entries instanceof Map) return entries.get(owner)
    return entries?.owner === owner ? entries : undefined
  }

  add(entry: Kept): void {
    const known = this.#byId.get(entry.id)
    if (known === undefined) this.#byId.set(entry.id, entry)
    else if (known instanceof Map) known.set(entry.owner, entry)
    else this.#byId.set(entry.id, new Map([known, entry].map(each => [each.owner, each])))
  }

  left(entry: Kept): void {
    this.#left.insert(this.#left.length, entry)
    if (this.#left.length > this.#maxLeft) this.#forget(this.#left.shift())
  }

  /** Forgets what occurred before that moment and is in no log any more. */
  forgetBefore(moment: number): void {
    this.#left.retain(entry => {
      const isKnown = entry.occurredAt >= moment
      if (!isKnown) this.#forget(entry)
      return isKnown
    })
  }

  find(
    tenant: string,
    id: string,
    { after, limit }: { readonly after?: Topic; readonly limit: number },
  ): Trace | undefined {
    const entries = this.#byId.get(id)
    if (entries === undefined) return undefined
    const all = listOf(entries)
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

  /** It may have been appended again meanwhile. */
  #forget(entry: Kept | undefined): void {
    if (entry === undefined || this.entryOf(entry.id, entry.owner) !== entry) return
    const entries = this.#byId.get(entry.id)
    if (entries instanceof Map && entries.size > 1) entries.delete(entry.owner)
    else this.#byId.delete(entry.id)
  }
}
