import { Deque } from '../../lib/collections/deque.ts'
import { type Claim, RESERVED_MS } from '../idempotency.ts'

/** What keys take: of one tenant, or of all. */
export interface KeysSize {
  records: number
  /** About. */
  bytes: number
}

/** Of a mark without its texts: the object, its places in map and queue, the heads of its strings. */
const OVERHEAD = 300

/** A text of its own: a slice of a request would keep the whole of it. A key is ASCII. */
const copy = (key: string): string => Buffer.from(key, 'latin1').toString('latin1')

/** A key in use. A class, since there are hundreds of thousands of them. */
export class Mark {
  readonly key: string
  readonly fingerprint: string
  /** Empty when it is answered: then nobody asks for it. */
  id: string
  /** Monotonic, as the next: a clock that is set changes nothing. */
  readonly firstAt: number
  /** Until then only the one who reserved it may carry it out. */
  reservedUntil: number
  answer: string | undefined = undefined
  /** What it takes, about, in bytes. */
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

/** The keys of one tenant, by first use. */
export class TenantKeys {
  readonly size: KeysSize = { records: 0, bytes: 0 }
  readonly #ofAll: KeysSize
  readonly #marks = new Map<string, Mark>()
  /** Those that are gone stay until they come to the front, or are half of it. */
  readonly #oldest = new Deque<Mark>()

  /** Counts what it takes in `ofAll`, too. */
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

  /** Forgets the oldest key, if it was first used before that moment; whether it did. */
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
