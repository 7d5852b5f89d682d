import { Deque } from '../../lib/collections/deque.ts'
import { type Claim, RESERVED_MS } from '../idempotency.ts'

/** Size of the keys of one tenant, or of all tenants. */
export interface KeysSize {
  records: number
  /** Approximate. */
  bytes: number
}

/** Bytes of a record without its texts: the object, its places in map and queue, its string headers. */
const OVERHEAD = 300

/** Copies a key: a slice would keep the whole request in memory. A key is ASCII. */
const copy = (key: string): string => Buffer.from(key, 'latin1').toString('latin1')

/** A key in use. A class, because there are hundreds of thousands of them. */
export class KeyRecord {
  readonly key: string
  readonly fingerprint: string
  /** Empty once the key has an answer: no later request needs the id. */
  id: string
  /** Monotonic, like `reservedUntil`, so that setting the clock changes nothing. */
  readonly firstAt: number
  /** Until then only the request that reserved the key may be carried out. */
  reservedUntil: number
  answer: string | undefined = undefined
  /** Approximate bytes that the record takes. */
  size: number
  isGone = false

  constructor({ tenant, key, fingerprint, id }: Claim, now: number) {
    this.key = copy(key)
    this.fingerprint = fingerprint
    this.id = id
    this.firstAt = now
    this.reservedUntil = now + RESERVED_MS
    this.size = OVERHEAD + tenant.length + key.length + fingerprint.length
  }
}

/** The keys of one tenant, ordered by first use. */
export class TenantKeys {
  readonly size: KeysSize = { records: 0, bytes: 0 }
  readonly #ofAll: KeysSize
  readonly #records = new Map<string, KeyRecord>()
  /** Forgotten records stay until they reach the front or are the majority. */
  readonly #oldest = new Deque<KeyRecord>()

  /** `ofAll` counts the keys of all tenants together. */
  constructor(ofAll: KeysSize) {
    this.#ofAll = ofAll
  }

  find(key: string): KeyRecord | undefined {
    return this.#records.get(key)
  }

  add(record: KeyRecord): void {
    this.#records.set(record.key, record)
    this.#oldest.insert(this.#oldest.length, record)
    this.#count(1, record.size)
  }

  answer(record: KeyRecord, answer: string): void {
    const bytes = Buffer.byteLength(answer)
    record.answer = answer
    record.id = ''
    record.size += bytes
    this.#count(0, bytes)
  }

  forget(record: KeyRecord): void {
    if (record.isGone) return
    record.isGone = true
    this.#records.delete(record.key)
    this.#count(-1, -record.size)
    if (this.#oldest.length > 2 * this.#records.size + 100) this.#oldest.retain(({ isGone }) => !isGone)
  }

  /** Forgets the oldest key if it was first used before that moment. Returns whether it did. */
  dropOldest(before = Number.POSITIVE_INFINITY): boolean {
    for (let first = this.#oldest.at(0); first !== undefined; first = this.#oldest.at(0)) {
      if (!first.isGone && first.firstAt >= before) return false
      this.#oldest.shift()
      if (first.isGone) continue
      this.forget(first)
      return true
    }
    return false
  }

  #count(records: number, bytes: number): void {
    for (const size of [this.size, this.#ofAll]) {
      size.records += records
      size.bytes += bytes
    }
  }
}
