import type { Clock } from '../lib/clock.ts'
import { Deque } from '../lib/deque.ts'
import { type Claim, type Idempotency, RESERVED_MS, type Reservation } from './idempotency.ts'

/** A key in use. A class, since there are hundreds of thousands of them. */
class Mark {
  readonly name: string
  readonly fingerprint: string
  readonly id: string
  readonly firstAt: number
  /** Until then only the one who reserved it may carry it out. */
  reservedUntil: number
  answer: string | undefined
  isGone = false

  constructor(name: string, { fingerprint, id }: Claim, now: number) {
    this.name = name
    this.fingerprint = fingerprint
    this.id = id
    this.firstAt = now
    this.reservedUntil = now + RESERVED_MS
  }

  /** Characters, and what holds them; near enough to bytes. */
  get size(): number {
    return OVERHEAD + this.name.length + this.fingerprint.length + (this.answer?.length ?? 0)
  }
}

interface Bounds {
  readonly records: number
  readonly bytes: number
}

const OVERHEAD = 200
const BOUNDS: Bounds = { records: 200_000, bytes: 64 * 1024 * 1024 }

const nameOf = ({ tenant, key }: Claim): string => `${tenant}:${key}`

/** Keeps them in this process; beyond the bounds the oldest are dropped. */
export function memoryIdempotency(clock: Clock, ttlMs: number, bounds = BOUNDS): Idempotency {
  const marks = new Map<string, Mark>()
  /** By first use. One that is gone stays until it comes to the front. */
  const oldest = new Deque<Mark>()
  let bytes = 0

  const forget = (mark: Mark): void => {
    if (mark.isGone) return
    mark.isGone = true
    bytes -= mark.size
    marks.delete(mark.name)
  }

  const isOver = ({ firstAt }: Mark): boolean => clock.now() > firstAt + ttlMs
  const isTooMuch = (): boolean => oldest.length > bounds.records || bytes > bounds.bytes

  const trim = (): void => {
    for (let first = oldest.at(0); first !== undefined; first = oldest.at(0)) {
      if (!first.isGone && !isOver(first) && !isTooMuch()) return
      forget(first)
      oldest.shift()
    }
  }

  const begin = (claim: Claim): Reservation => {
    const mark = new Mark(nameOf(claim), claim, clock.now())
    marks.set(mark.name, mark)
    oldest.insert(oldest.length, mark)
    bytes += mark.size
    trim()
    return { type: 'reserved', id: mark.id }
  }

  const again = (mark: Mark, claim: Claim): Reservation => {
    const now = clock.now()
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

  /** The mark that this very request made, unless it was dropped or has gone to another. */
  const markOf = (claim: Claim): Mark | undefined => {
    const mark = marks.get(nameOf(claim))
    return mark?.id === claim.id ? mark : undefined
  }

  return {
    reserve: async claim => {
      trim()
      const mark = marks.get(nameOf(claim))
      return mark === undefined ? begin(claim) : again(mark, claim)
    },
    answer: (claim, answer) => {
      const mark = markOf(claim)
      if (mark === undefined || mark.answer !== undefined) return
      mark.answer = answer
      bytes += answer.length
      trim()
    },
    release: (claim, how) => {
      const mark = markOf(claim)
      if (mark === undefined || mark.answer !== undefined) return
      if (how === 'free') forget(mark)
      else mark.reservedUntil = 0
    },
  }
}
