/** Finds the first `most` items of an order; holds at most twice as many. */
export class Largest<T> {
  readonly #most: number
  readonly #compare: (a: T, b: T) => number
  #items: T[] = []

  constructor(most: number, compare: (a: T, b: T) => number) {
    this.#most = most
    this.#compare = compare
  }

  add(item: T): void {
    this.#items.push(item)
    if (this.#items.length >= 2 * this.#most) this.#items = this.end()
  }

  end(): T[] {
    return this.#items.sort(this.#compare).slice(0, this.#most)
  }
}
