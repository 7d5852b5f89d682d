import { Deque } from './deque.ts'

interface Party<T> {
  readonly name: string
  readonly items: Deque<T>
}

/** A queue that serves several parties in turn: thousands of items of one do not delay the first item of another. O(1). */
export class FairQueue<T> {
  readonly #parties = new Map<string, Party<T>>()
  readonly #turns = new Deque<Party<T>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(name: string, item: T): void {
    let party = this.#parties.get(name)
    if (party === undefined) {
      party = { name, items: new Deque() }
      this.#parties.set(name, party)
      this.#turns.insert(this.#turns.length, party)
    }
    party.items.insert(party.items.length, item)
    this.#size++
  }

  /** Returns the item that `shift` would remove. */
  peek(): T | undefined {
    return this.#turns.at(0)?.items.at(0)
  }

  /** Removes the oldest item of the party whose turn it is. */
  shift(): T | undefined {
    const party = this.#turns.shift()
    if (party === undefined) return undefined
    const item = party.items.shift()
    this.#size--
    if (party.items.length > 0) this.#turns.insert(this.#turns.length, party)
    else this.#parties.delete(party.name)
    return item
  }
}
