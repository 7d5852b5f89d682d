/** Items by when they are due, in slots of time: setting and removing one costs the same however many there are. */
export class TimerWheel<T> {
  readonly #slotMs: number
  readonly #slots = new Map<number, Set<T>>()
  readonly #times = new Map<T, number>()
  /** The first slot that may still hold an item. */
  #first: number

  constructor(slotMs: number, now: number) {
    this.#slotMs = slotMs
    this.#first = Math.floor(now / slotMs)
  }

  /** An earlier time that the item has already stays. */
  setBy(item: T, at: number): void {
    if ((this.#times.get(item) ?? Number.POSITIVE_INFINITY) > at) this.set(item, at)
  }

  /** In place of a time that the item has already. */
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

  /** Removes and returns what is due at `now`, in the order of the slots. */
  take(now: number): readonly T[] {
    const due: T[] = []
    const last = this.#slotOf(now)
    // With nothing in it, an hour that has passed has no slots to look at.
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

  /** A time in the past falls into the first slot. */
  #slotOf(at: number): number {
    return Math.max(this.#first, Math.floor(at / this.#slotMs))
  }
}
