const EMPTY = -1
const PARTS = 64
const SMALLEST = 8
/** Share of slots in use at which a part doubles, and below which it halves. */
const FULL = 0.8
const SPARSE = 0.15

/** Slots of hash and item, two i32 each; a power of two. Linear probing; a removal moves later items forward. */
class Part {
  #slots = new Int32Array(2 * SMALLEST).fill(EMPTY)
  #size = 0

  find(hash: number, isSought: (item: number) => boolean): number {
    const slots = this.#slots
    const mask = slots.length / 2 - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const item = slots[2 * slot + 1] ?? EMPTY
      if (item === EMPTY || (slots[2 * slot] === hash && isSought(item))) return item
    }
  }

  add(hash: number, item: number): void {
    if (++this.#size > FULL * (this.#slots.length / 2)) this.#resize(this.#slots.length * 2)
    this.#put(hash, item)
  }

  remove(hash: number, item: number): void {
    const slots = this.#slots
    const mask = slots.length / 2 - 1
    let hole = hash & mask
    while (slots[2 * hole + 1] !== item) {
      if (slots[2 * hole + 1] === EMPTY) return
      hole = (hole + 1) & mask
    }
    // An item may move to the hole unless its home lies between the hole and its slot.
    for (let slot = (hole + 1) & mask; slots[2 * slot + 1] !== EMPTY; slot = (slot + 1) & mask) {
      const home = (slots[2 * slot] ?? 0) & mask
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue
      slots[2 * hole] = slots[2 * slot] ?? 0
      slots[2 * hole + 1] = slots[2 * slot + 1] ?? EMPTY
      hole = slot
    }
    slots[2 * hole + 1] = EMPTY
    if (--this.#size < SPARSE * (slots.length / 2) && slots.length > 2 * SMALLEST)
      this.#resize(slots.length / 2)
  }

  #put(hash: number, item: number): void {
    const slots = this.#slots
    const mask = slots.length / 2 - 1
    let slot = hash & mask
    while (slots[2 * slot + 1] !== EMPTY) slot = (slot + 1) & mask
    slots[2 * slot] = hash
    slots[2 * slot + 1] = item
  }

  #resize(length: number): void {
    const before = this.#slots
    this.#slots = new Int32Array(length).fill(EMPTY)
    for (let at = 0; at < before.length; at += 2) {
      const item = before[at + 1] ?? EMPTY
      if (item !== EMPTY) this.#put(before[at] ?? 0, item)
    }
  }
}

/**
 * Finds numbers ≥ 0 by a hash of 32 bits, in 11 to 53 bytes each. It has 64 parts that grow one at a time: with a million
 * items the longest growth takes less than a millisecond.
 */
export class HashIndex {
  readonly #parts = Array.from({ length: PARTS }, () => new Part())

  /** The item with that hash for which `isSought`; -1 if there is none. */
  find(hash: number, isSought: (item: number) => boolean): number {
    return this.#partOf(hash).find(hash, isSought)
  }

  /** Adds an item that is not in the index. */
  add(hash: number, item: number): void {
    this.#partOf(hash).add(hash, item)
  }

  /** Removes an item. `hash` MUST be the one it was added with. */
  remove(hash: number, item: number): void {
    this.#partOf(hash).remove(hash, item)
  }

  /** Slots use the lower bits of the hash. */
  #partOf(hash: number): Part {
    const part = this.#parts[hash >>> 26]
    if (part === undefined) throw new Error(`hash-index: ${hash} is not a whole number`)
    return part
  }
}
