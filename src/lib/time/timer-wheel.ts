/** Sorts items by due time into slots: setting or removing one costs the same at any number of items. */
export class TimerWheel<T> {
  readonly #slotMs: number
  readonly #slots = new Map<number, Set<T>>()
  readonly #times = new Map<T, number>()
  /** First slot that may still hold an item. */
  #first: number

  constructor(slotMs: number, now: number) {
    this.#slotMs = slotMs
    this.#first = Math.floor(now / slotMs)
  }

  /** Sets the time of an item unless it already has an earlier one. */
  setBy(item: T, at: number): void {
    if ((this.#times.get(item) ?? Number.POSITIVE_INFINITY) > at) this.set(item, at)
  }

  /** Sets or replaces the time of an item. */
  set(item: T, at: number): void {
    this.delete(item)
    this.#times.set(item, at)
    const slot = this.#slotOf(at)
    const items = this.#slots.get(slot) ?? new Set()
    this.#slots.set(slot, items.add(item))
  }

  delete(item: T): void {
    const at = this.#times.get(item)
    if (at === undefined) return
    this.#times.delete(item)
    const slot = this.#slotOf(at)
    const items = this.#slots.get(slot)
    items?.delete(item)
    if (items?.size === 0) this.#slots.delete(slot)
  }

  /** Removes and returns the items due at `now`, in the order of the slots. */
  take(now: number): readonly T[] {
    const due: T[] = []
    const last = this.#slotOf(now)
    // Skip the slots of an idle hour.
    if (this.#slots.size === 0) this.#first = last
    for (; this.#first < last; this.#first++) this.#takeFrom(this.#first, now, due)
    this.#takeFrom(last, now, due)
    return due
  }

  #takeFrom(slot: number, now: number, due: T[]): void {
    for (const item of this.#slots.get(slot) ?? []) {
      const at = this.#times.get(item) ?? now
      if (at > now) continue
      due.push(item)
      this.delete(item)
    }
  }

  /** Puts a time in the past into the first slot. */
  #slotOf(at: number): number {
    return Math.max(this.#first, Math.floor(at / this.#slotMs))
  }
}
