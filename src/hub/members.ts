import type { Connection } from './connection.ts'

/** Connections of one room, in the order in which they joined. */
export interface Members extends Iterable<Connection> {
  readonly size: number
  has(connection: Connection): boolean
}

/** Members of a room. A single member needs no Set, which takes 256 bytes: most users have one connection. */
export class MemberSet implements Members {
  #only: Connection | undefined
  /** Set when a second member joins. */
  #all: Set<Connection> | undefined

  get size(): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1)
  }

  has(connection: Connection): boolean {
    return this.#all?.has(connection) ?? this.#only === connection
  }

  add(connection: Connection): void {
    if (this.#all !== undefined) this.#all.add(connection)
    else if (this.#only === undefined || this.#only === connection) this.#only = connection
    else {
      this.#all = new Set([this.#only, connection])
      this.#only = undefined
    }
  }

  delete(connection: Connection): void {
    if (this.#only === connection) this.#only = undefined
    this.#all?.delete(connection)
  }

  [Symbol.iterator](): Iterator<Connection> {
    return (this.#all ?? (this.#only === undefined ? [] : [this.#only]))[Symbol.iterator]()
  }
}
