import type { Clock } from '../lib/clock.ts'
import { Deque } from '../lib/deque.ts'
import { type Claim, type Idempotency, RESERVED_MS, type Reservation } from './idempotency.ts'

/** A key in use. A class, since there are hundreds of thousands of them. */
class Mark {
  readonly name: string
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

  constructor(name: string, { fingerprint, id }: Claim, now: number) {
    this.name = name
    this.fingerprint = fingerprint
    this.id = id
    this.firstAt = now
    this.reservedUntil = now + RESERVED_MS
    this.size = OVERHEAD + name.length + fingerprint.length
  }
}

interface Bounds {
  readonly records: number
  readonly bytes: number
}

/** Of a mark without its texts: the object, its places in map and queue, the heads of its strings. */
const OVERHEAD = 300
const BOUNDS: Bounds = { records: 200_000, bytes: 64 * 1024 * 1024 }
/** So many that are over go with each use, so that the first one after a quiet day does not pay for all. */
const MAX_OVER_AT_ONCE = 100

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

/** Keeps them in this process; beyond the bounds the oldest are dropped. */
export function memoryIdempotency(clock: Clock, ttlMs: number, bounds = BOUNDS): Idempotency {
  const marks = new Map<string, Mark>()
  /** By first use. Those that are gone stay until they come to the front, or are half of it. */
  const oldest = new Deque<Mark>()
  let bytes = 0

  const forget = (mark: Mark): void => {
    if (mark.isGone) return
    mark.isGone = true
    bytes -= mark.size
    marks.delete(mark.name)
    if (oldest.length > 2 * marks.size + MAX_OVER_AT_ONCE) oldest.retain(({ isGone }) => !isGone)
  }

  const isOver = ({ firstAt }: Mark): boolean => clock.monotonic() > firstAt + ttlMs
  const isTooMuch = (): boolean => marks.size > bounds.records || bytes > bounds.bytes

  const trim = (): void => {
    let over = 0
    for (let first = oldest.at(0); first !== undefined; first = oldest.at(0)) {
      if (!first.isGone && !isTooMuch() && !(isOver(first) && over++ < MAX_OVER_AT_ONCE)) return
      oldest.shift()
      forget(first)
    }
  }

  const find = (claim: Claim): Mark | undefined => {
    const mark = marks.get(nameOf(claim))
    if (mark === undefined || !isOver(mark)) return mark
    forget(mark)
    return undefined
  }

  const begin = (claim: Claim): Reservation => {
    const mark = new Mark(nameOf(claim), claim, clock.monotonic())
    marks.set(mark.name, mark)
    oldest.insert(oldest.length, mark)
    bytes += mark.size
    trim()
    return { type: 'reserved', id: mark.id }
  }

  const again = (mark: Mark, claim: Claim): Reservation => {
    const now = clock.monotonic()
    const isSame = mark.fingerprint === claim.fingerprint
    if (mark.answer !== undefined)
      return isSame ? { type: 'answered', answer: mark.answer } : { type: 'conflict' }
    if (now <= mark.reservedUntil) return isSame ? { type: 'in_progress', id: mark.id } : { type: 'conflict' }
    if (isSame) {
      mark.reservedUntil = now + RESERVED_MS
      return { type: 'reserved', id: mark.id }
    }
    forget(mark)
    return begin(claim)
  }

  /** The mark that this very request made, as long as it waits for its answer. */
  const openMarkOf = (claim: Claim): Mark | undefined => {
    const mark = find(claim)
    return mark?.answer === undefined && mark?.id === claim.id ? mark : undefined
  }

  return {
    reserve: async claim => {
      const mark = find(claim)
      return mark === undefined ? begin(claim) : again(mark, claim)
    },
    answer: (claim, answer) => {
      const mark = openMarkOf(claim)
      if (mark === undefined) return
      const size = Buffer.byteLength(answer)
      mark.answer = answer
      mark.id = ''
      mark.size += size
      bytes += size
      trim()
    },
    release: (claim, how) => {
      const mark = openMarkOf(claim)
      if (mark === undefined) return
      if (how === 'free') forget(mark)
      else mark.reservedUntil = 0
    },
  }
}
