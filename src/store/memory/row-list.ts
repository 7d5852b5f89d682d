import { NONE, type Row, type Rows, SEQ } from './rows.ts'

const SMALLEST = 4

/** Rows of one log, sorted by a field and then by SEQ: a ring of 32-bit integers, doubled when full. */
export class RowList {
  readonly #rows: Rows
  readonly #field: number
  /** A power of two. */
  #ring = new Int32Array(SMALLEST)
  #front = 0
  #length = 0

  /** `field`: one of 64 bits. */
  constructor(rows: Rows, field: number = SEQ) {
    this.#rows = rows
    this.#field = field
  }

  get length(): number {
    return this.#length
  }

  get first(): Row | undefined {
    return this.#length === 0 ? undefined : this.#at(0)
  }

  /** Adds a row that sorts behind all others. */
  push(row: Row): void {
    if (this.#length === this.#ring.length) this.#resize(2 * this.#length)
    this.#set(this.#length++, row)
  }

  add(row: Row): void {
    const place = this.#placeAfter(this.#rows.double(row, this.#field))
    this.push(row)
    for (let later = this.#length - 1; later > place; later--) this.#set(later, this.#at(later - 1))
    this.#set(place, row)
  }

  /** Removes a row that is in the list. */
  remove(row: Row): void {
    let place = this.#at(0) === row ? 0 : this.#placeAfter(this.#rows.double(row, this.#field)) - 1
    while (this.#at(place) !== row) place--
    // Moves the shorter side.
    if (place < this.#length / 2) {
      for (; place > 0; place--) this.#set(place, this.#at(place - 1))
      this.#front = (this.#front + 1) & (this.#ring.length - 1)
    } else for (; place < this.#length - 1; place++) this.#set(place, this.#at(place + 1))
    this.#length--
    if (this.#length * 8 < this.#ring.length && this.#ring.length > SMALLEST)
      this.#resize(this.#ring.length / 2)
  }

  countAfter(value: number): number {
    return this.#length - this.#placeAfter(value)
  }

  /** Visits rows in order while `see` returns true. Not a generator: a replay reads millions of entries. */
  visitAfter(value: number, see: (row: Row) => boolean): void {
    for (let place = this.#placeAfter(value); place < this.#length && see(this.#at(place)); place++);
  }

  find(value: number): Row | undefined {
    const place = this.#placeAfter(value) - 1
    return place >= 0 && this.#valueAt(place) === value ? this.#at(place) : undefined
  }

  /** `place` counts from the first row. */
  #at(place: number): Row {
    return this.#ring[(this.#front + place) & (this.#ring.length - 1)] ?? NONE
  }

  #set(place: number, row: Row): void {
    this.#ring[(this.#front + place) & (this.#ring.length - 1)] = row
  }

  #valueAt(place: number): number {
    return this.#rows.double(this.#at(place), this.#field)
  }

  /** Place of the first row with a greater value. */
  #placeAfter(value: number): number {
    if (this.#length === 0 || this.#valueAt(this.#length - 1) <= value) return this.#length
    let low = 0
    let high = this.#length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#valueAt(middle) <= value) low = middle + 1
      else high = middle
    }
    return low
  }

  #resize(size: number): void {
    const ring = new Int32Array(size)
    for (let place = 0; place < this.#length; place++) ring[place] = this.#at(place)
    this.#ring = ring
    this.#front = 0
  }
}
