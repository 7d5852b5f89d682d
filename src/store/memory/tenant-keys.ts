import { Deque } from '../../lib/collections/deque.ts'
import { type Claim, RESERVED_MS } from '../idempotency.ts'

/** Size of the keys of one tenant, or of all tenants. */
export interface KeysSize {
  records: number
  /** Approximate. */
  bytes: number
}

/** Bytes of a mark without its texts: the object, its places in map and queue, its string headers. */
const OVERHEAD = 300

/** Copies a key: a slice would keep the whole request in memory. A key is ASCII. */
const copy = (key: string): string => Buffer.from(key, 'latin1').toString('latin1')

/** A key in use. A class, because there are hundreds of thousands of them. */
export class Mark {
  readonly key: string
  readonly fingerprint: string
  /** Empty once the key has an answer: no later request needs the id. */
  id: string
  /** Monotonic, like `reservedUntil`, so that setting the clock changes nothing. */
  readonly firstAt: number
  /** Until then only the request that reserved the key may be carried out. */
  reservedUntil: number
  answer: string | undefined = undefined
  /** Approximate bytes that the mark takes. */
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
  readonly #marks = new Map<string, Mark>()
  /** Forgotten marks stay until they reach the front or are the majority. */
  readonly #oldest = new Deque<Mark>()

  /** `ofAll` counts the keys of all tenants together. */
  constructor(ofAll: KeysSize) {
    this.#ofAll = ofAll
  }

  find(key: string): Mark | undefined {
    return this.#marks.get(key)
  }

  add(mark: Mark): void {
    this.#marks.set(mark.key, mark)
    this.#oldest.insert(this.#oldest.length, mark)
    this.#count(1, mark.size)
  }

  answer(mark: Mark, answer: string): void {
    const bytes = Buffer.byteLength(answer)
    mark.answer = answer
    mark.id = ''
    mark.size += bytes
    this.#count(0, bytes)
  }

  forget(mark: Mark): void {
    if (mark.isGone) return
    mark.isGone = true
    this.#marks.delete(mark.key)
    this.#count(-1, -mark.size)
    if (this.#oldest.length > 2 * this.#marks.size + 100) this.#oldest.retain(({ isGone }) => !isGone)
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
