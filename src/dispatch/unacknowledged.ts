import type { Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'

/** Maximum open questions for one user: a long log must not delay other users. */
const MAX_ASKED = 32

/**
 * The unacknowledged entries of one user, by due time on the user's own clock. It runs only while the user
 * has a live WebSocket.
 */
export class Unacknowledged {
  readonly owner: Topic
  readonly epoch: Epoch
  /** Whether the user is in the queue of due users. */
  isQueued = false
  /** The highest seq so far. */
  newest = 0
  /** Above this number of entries, those that the log no longer holds are removed. */
  pruneAbove: number
  /** Due times in order: entries wait equally long, and a restarted one goes last. */
  #dueAt = new Map<number, number>()
  /** The latest due time so far. */
  #latestDueAt = 0
  /** Entries that the store is being asked about; absent when there are none. */
  #asked: Set<number> | undefined
  #ranMs = 0
  /** When the clock last started or stopped; monotonic. */
  #since: number
  #runs = false

  constructor(owner: Topic, epoch: Epoch, now: number, pruneAbove: number) {
    this.pruneAbove = pruneAbove
    this.owner = owner
    this.epoch = epoch
    this.#since = now
  }

  get size(): number {
    return this.#dueAt.size
  }

  get runs(): boolean {
    return this.#runs
  }

  has(seq: number): boolean {
    return this.#dueAt.has(seq)
  }

  run(runs: boolean, now: number): void {
    if (runs === this.#runs) return
    this.#ranMs = this.#read(now)
    this.#since = now
    this.#runs = runs
  }

  /** Makes the entry due in `timeoutMs`. */
  begin(seq: number, now: number, timeoutMs: number): void {
    // While the clock stands still, retention counts from the newest entry.
    if (!this.#runs) this.#since = now
    const dueAt = this.#read(now) + timeoutMs
    this.#dueAt.delete(seq)
    this.#dueAt.set(seq, dueAt)
    // Another node has delivered it already: it is due before later ones.
    if (dueAt < this.#latestDueAt) this.#dueAt = new Map([...this.#dueAt].sort((a, b) => a[1] - b[1]))
    this.#latestDueAt = Math.max(this.#latestDueAt, dueAt)
    this.newest = Math.max(this.newest, seq)
  }

  settle(seq: number): void {
    this.#dueAt.delete(seq)
  }

  retain(isLeft: (seq: number) => boolean): void {
    for (const seq of this.#dueAt.keys()) if (!isLeft(seq)) this.#dueAt.delete(seq)
  }

  settleBefore(seq: number): void {
    this.retain(each => each >= seq)
  }

  /** The next moment to act, monotonic. Running clock: an entry is due; stopped clock: retention ends. */
  wakesAt(retentionMs: number): number {
    if (!this.#runs) return this.#since + retentionMs
    // The next answer wakes it.
    if (this.#asked?.size === MAX_ASKED) return Number.POSITIVE_INFINITY
    for (const [seq, dueAt] of this.#dueAt) if (!this.#asked?.has(seq)) return this.#momentOf(dueAt)
    return Number.POSITIVE_INFINITY
  }

  /** Takes at most `most` due entries, which stay taken until `answered`. */
  ask(now: number, most: number): readonly number[] {
    const asked = this.#asked ?? new Set()
    const room = Math.min(most, MAX_ASKED - asked.size)
    const seqs: number[] = []
    for (const [seq, dueAt] of this.#dueAt) {
      if (this.#momentOf(dueAt) > now || seqs.length === room) break
      if (!asked.has(seq)) seqs.push(seq)
    }
    for (const seq of seqs) asked.add(seq)
    if (seqs.length > 0) this.#asked = asked
    return seqs
  }

  answered(seq: number): void {
    this.#asked?.delete(seq)
    if (this.#asked?.size === 0) this.#asked = undefined
  }

  /** The moment at which a running clock shows `dueAt`. Whole milliseconds: rounding adds no delay. */
  #momentOf(dueAt: number): number {
    return Math.floor(this.#since + dueAt - this.#ranMs)
  }

  #read(now: number): number {
    return this.#runs ? this.#ranMs + now - this.#since : this.#ranMs
  }
}
