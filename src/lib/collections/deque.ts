/** A queue that can be read at any place: an array whose front moves, so that both ends are O(1) amortised. */
export class Deque<T> {
  #items: (T | undefined)[] = []
  #front = 0

  get length(): number {
    return this.#items.length - this.#front
  }

  /** Returns the item at this distance from the first one; undefined outside. */
  at(index: number): T | undefined {
    return this.#items[this.#front + index]
  }

  /** Inserts an item: O(1) at the end; elsewhere it moves all later items. */
  insert(index: number, item: T): void {
    if (index === this.length) this.#items.push(item)
    else this.#items.splice(this.#front + index, 0, item)
  }

  shift(): T | undefined {
    const item = this.at(0)
    if (item === undefined) return undefined
    // Clear the freed place: it would keep its item in memory.
    this.#items[this.#front++] = undefined
    if (this.#front * 2 >= this.#items.length) this.#restart(this.#items.slice(this.#front))
    return item
  }

  retain(isKept: (item: T) => boolean): void {
    this.#restart(this.#items.filter(item => item !== undefined && isKept(item)))
  }

  #restart(items: (T | undefined)[]): void {
    this.#items = items
    this.#front = 0
  }
}
