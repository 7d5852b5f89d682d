/** A log that `DueLogs` can hold. */
export interface DueLog {
  /** Slot that holds the log; infinite when none does. */
  dueSlot: number
}

const SLOT_MS = 500

/** Returns the slot of a time. Logs in a slot are due once the next slot has begun. */
export const slotOf = (time: number): number => Math.floor(time / SLOT_MS)

/**
 * Logs by the time when their next entry ends. A log that moves to an earlier slot leaves a stale place behind. A place
 * therefore costs only one array element.
 */
export class DueLogs<T extends DueLog> {
  readonly #slots = new Map<number, T[]>()
  /** Lower bound: no slot before this one holds a log. */
  #first = Number.POSITIVE_INFINITY

  place(log: T, slot: number): void {
    log.dueSlot = slot
    const logs = this.#slots.get(slot)
    if (logs === undefined) this.#slots.set(slot, [log])
    else logs.push(log)
    this.#first = Math.min(this.#first, slot)
  }

  /** Removes and returns a log from a slot before `end`. */
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

  /** Logs in one slot, including stale places. */
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

  /** Finds the first slot. After a long idle time there are fewer slots than slot numbers. */
  #least(): number {
    let least = Number.POSITIVE_INFINITY
    for (const slot of this.#slots.keys()) least = Math.min(least, slot)
    return least
  }
}
