import { InternedTexts } from '../../lib/collections/interned.ts'
import type { Topic } from '../../notification/topic.ts'

/** Index of an entry's row, in use until `release`. */
export type Row = number

/** Value of an integer field that refers to nothing. */
export const NONE = -1

// A replay needs the first 24 bytes of each entry, and its note of the delivery 24 more: one or two lines of memory.
/** Fields of 64 bits. Times in milliseconds. */
export const SEQ = 0
/** End by ttl or age, on the steady clock. Delivered while now <= ENDS_AT. */
export const ENDS_AT = 3
/** When the entry entered its state, by the wall clock. */
export const AT = 4
/** When the entry was first handed over, on the steady clock. */
export const FIRST_AT = 5
/** When the entry was appended, on the steady clock. */
export const APPENDED_AT = 6
export const OCCURRED_AT = 7
/** End of the ttl, by the wall clock; infinite without one. */
export const EXPIRES_AT = 8
/** Fields of 32 bits. Only of an entry that a log retains: where its body is, and its UTF-8 bytes. See `Bodies`. */
export const BODY = 2
export const BODY_BYTES = 3
/** Only of a lead whose notification left all logs: its neighbours in the order of leaving. In the place of BODY. */
export const OLDER = 2
export const NEWER = 3
/** Number of deliveries, redeliveries included. */
export const ATTEMPTS = 4
/** The notification id takes four. */
export const ID = 18
/** First entry of the same notification; the entry itself if it is the first. */
export const LEAD = 22
/** Next entry of the same notification, in the order of the send. */
export const NEXT = 23
/** Only of a lead: entries of the notification that logs retain. */
export const RETAINED = 24
/** Number of the event type in `#eventTypes`. */
const EVENT_TYPE = 25
/** Fields of 8 bits. */
export const STATE = 20
export const PRIORITY = 21
/** Bits: see below. */
export const FLAGS = 22
export const REDELIVERED = 23

const BYTES = 104
const INTEGERS = BYTES / 4
const DOUBLES = BYTES / 8

/** Bit of FLAGS: the entry was acknowledged, in time or late. */
export const ACKED = 1
/** Bit of FLAGS: the ttl ends the entry. When ttl and age end together, the ttl counts. */
export const BY_TTL = 2
/** Bit of FLAGS: a log retains the entry. */
export const KEPT = 4
/** Bit of FLAGS: the body is shared with other entries. */
export const SHARED = 8
/** Bit of FLAGS: the body is ASCII, one byte per character. */
export const ASCII = 16

const BLOCK_BITS = 10
const BLOCK = 1 << BLOCK_BITS
const MASK = BLOCK - 1

/** 1,024 rows of 104 bytes: 7 × f64, 11 × i32, 4 × u8. */
class Block {
  readonly doubles: Float64Array
  readonly integers: Int32Array
  readonly bytes: Uint8Array
  readonly owners: Topic[] = []
  /** Rows from here on were never used. */
  fresh = 0
  /** First row released; the others follow by NEXT. */
  released = NONE
  used = 0

  constructor() {
    const buffer = new ArrayBuffer(BLOCK * BYTES)
    this.doubles = new Float64Array(buffer)
    this.integers = new Int32Array(buffer)
    this.bytes = new Uint8Array(buffer)
  }
}

/**
 * Entries of all logs, retained or known, in few objects that the garbage collector does not search. Blocks without
 * entries are dropped.
 */
export class Rows {
  readonly #blocks: (Block | undefined)[] = []
  /** Blocks with room, by index. */
  readonly #roomy: number[] = []
  readonly #dropped: number[] = []
  readonly #eventTypes = new InternedTexts()
  /** `traceparent` of the few retained entries that have one. */
  readonly traceparents = new Map<Row, string>()

  /** Number of blocks, dropped ones included. */
  get blocks(): number {
    return this.#blocks.length
  }

  take(owner: Topic, eventType: string): Row {
    const index = this.#roomy.at(-1) ?? this.#addBlock()
    const block = this.#blocks[index]
    if (block === undefined) throw new Error(`rows: block ${index} is missing`)
    let place = block.fresh
    if (block.released === NONE) block.fresh++
    else {
      place = block.released
      block.released = block.integers[place * INTEGERS + NEXT] ?? NONE
    }
    block.owners[place] = owner
    block.integers[place * INTEGERS + EVENT_TYPE] = this.#eventTypes.hold(eventType)
    if (++block.used === BLOCK) this.#roomy.pop()
    return index * BLOCK + place
  }

  release(row: Row): void {
    const index = row >>> BLOCK_BITS
    const block = this.#blocks[index]
    if (block === undefined) return
    const place = row & MASK
    this.#eventTypes.release(this.integer(row, EVENT_TYPE))
    if (block.used-- === BLOCK) this.#roomy.push(index)
    block.integers[place * INTEGERS + LEAD] = NONE
    block.integers[place * INTEGERS + NEXT] = block.released
    block.released = place
    if (block.used === 0 && this.#roomy.length > 1) this.#dropBlock(index)
  }

  owner(row: Row): Topic | undefined {
    return this.#blocks[row >>> BLOCK_BITS]?.owners[row & MASK]
  }

  eventType(row: Row): string {
    return this.#eventTypes.at(this.integer(row, EVENT_TYPE)) ?? ''
  }

  double(row: Row, field: number): number {
    return this.#blocks[row >>> BLOCK_BITS]?.doubles[(row & MASK) * DOUBLES + field] ?? Number.NaN
  }

  setDouble(row: Row, field: number, value: number): void {
    const doubles = this.#blocks[row >>> BLOCK_BITS]?.doubles
    if (doubles !== undefined) doubles[(row & MASK) * DOUBLES + field] = value
  }

  integer(row: Row, field: number): number {
    return this.#blocks[row >>> BLOCK_BITS]?.integers[(row & MASK) * INTEGERS + field] ?? NONE
  }

  setInteger(row: Row, field: number, value: number): void {
    const integers = this.#blocks[row >>> BLOCK_BITS]?.integers
    if (integers !== undefined) integers[(row & MASK) * INTEGERS + field] = value
  }

  byte(row: Row, field: number): number {
    return this.#blocks[row >>> BLOCK_BITS]?.bytes[(row & MASK) * BYTES + field] ?? 0
  }

  setByte(row: Row, field: number, value: number): void {
    const bytes = this.#blocks[row >>> BLOCK_BITS]?.bytes
    if (bytes !== undefined) bytes[(row & MASK) * BYTES + field] = value
  }

  has(row: Row, flag: number): boolean {
    return (this.byte(row, FLAGS) & flag) !== 0
  }

  /** Leads in a block whose notification left all logs. `see` may release their rows. */
  visitDeparted(block: number, see: (lead: Row) => void): void {
    const { integers, fresh = 0 } = this.#blocks[block] ?? {}
    for (let place = 0; place < fresh; place++) {
      const row = block * BLOCK + place
      if (integers?.[place * INTEGERS + LEAD] === row && integers[place * INTEGERS + RETAINED] === 0) see(row)
    }
  }

  #addBlock(): number {
    const index = this.#dropped.pop() ?? this.#blocks.length
    this.#blocks[index] = new Block()
    this.#roomy.push(index)
    return index
  }

  #dropBlock(index: number): void {
    this.#blocks[index] = undefined
    this.#roomy.splice(this.#roomy.indexOf(index), 1)
    this.#dropped.push(index)
  }
}
