/** A log that has a place among those that are due. */
export interface Due {
  /** Its slot; infinite without a place. */
  dueSlot: number
}

const SLOT_MS = 500

/** The slot of that time: what ends in a slot is due once the next one has begun. */
export const slotOf = (time: number): number => Math.floor(time / SLOT_MS)

/**
 * Logs by when their next entry ends. A log that moves to an earlier slot leaves its old place behind, which counts for
 * nothing: so a place costs one element of an array.
 */
export class DueLogs<T extends Due> {
  readonly #slots = new Map<number, T[]>()
  /** The first slot that may hold a log. */
  #first = Number.POSITIVE_INFINITY

  place(log: T, slot: number): void {
    log.dueSlot = slot
    const logs = this.#slots.get(slot)
    if (logs === undefined) this.#slots.set(slot, [log])
    else logs.push(log)
    this.#first = Math.min(this.#first, slot)
  }

  /** Takes a log from a slot before `end` out of its place. */
  take(end: number): T | undefined {
    for (let logs = this.#logsBefore(end); logs !== undefined; logs = this.#logsBefore(end)) {
      const log = logs.pop()
      if (logs.length === 0) this.#slots.delete(this.#first)
      if (log?.dueSlot !== this.#first) continue
      log.dueSlot = Number.POSITIVE_INFINITY
      return log
    }
    return undefined
  }

  /** Those of one slot, places left behind included. */
  in(slot: number): readonly T[] {
    return this.#slots.get(slot) ?? []
  }

  #logsBefore(end: number): T[] | undefined {
    while (this.#slots.size > 0 && this.#first < end) {
      const logs = this.#slots.get(this.#first)
      if (logs !== undefined) return logs
      this.#first = this.#slots.size < end - this.#first ? this.#least() : this.#first + 1
    }
    return undefined
  }

  /** After a long time in which nothing ended there are fewer slots than have passed. */
  #least(): number {
    let least = Number.POSITIVE_INFINITY
    for (const slot of this.#slots.keys()) least = Math.min(least, slot)
    return least
  }
}
