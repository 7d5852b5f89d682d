import { Deque } from '../../lib/collections/deque.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { LEASE_MS, type LeaseAnswer } from './lease.ts'

/** A message that all nodes of a cluster receive. */
interface ReceivedMessage {
  readonly name: Buffer
  readonly bytes: Buffer
  /** Monotonic milliseconds. */
  readonly at: number
}

/** Decides which messages this node dispatches: those of the time in which it holds the lease. */
export interface Turn {
  /** This node receives messages from now on. */
  subscribed(): void
  receive(name: Buffer, bytes: Buffer): void
  answered(answer: LeaseAnswer): void
  /**
   * Ends this node's turn, since its subscription has ended. True if it was the holder: only then may it release the lease,
   * because a lease that is released says that nobody dispatches.
   */
  unsubscribed(): boolean
}

interface TurnOptions {
  readonly handle: (name: Buffer, bytes: Buffer) => void
  /** Called with messages that were kept too long for an answer of the lease, and were this node's. */
  readonly onLost: (name: Buffer) => void
  /** Resolves when all messages that Redis has sent up to now were received. */
  readonly fence: () => Promise<unknown>
  readonly onChange: (isHolder: boolean) => void
  readonly clock: Pick<Clock, 'monotonic'>
}

/** Subtracted from the duration of the lease: clocks do not run alike. */
const MARGIN_MS = 100
/** A later first answer may come from a Redis that has lost its data. */
const FIRST_MS = 1_000
/** Messages wait for an answer at most this long, and up to this size. */
const KEEP_MS = 5_000
const MAX_BYTES = 67_108_864

/**
 * `unknown`: since the start or the subscription Redis has not answered. `other`: another node dispatches. `behind`: this
 * node has the lease, but messages may still arrive that the former holder has dispatched. `holder`: this node dispatches
 * while the lease lasts, and lets messages wait when it is over, until Redis tells whether another node has taken it.
 */
type State = 'unknown' | 'other' | 'behind' | 'holder'

export function createTurn({ handle, onLost, fence, onChange, clock }: TurnOptions): Turn {
  const waiting = new Deque<ReceivedMessage>()
  let waitingBytes = 0
  let lost: Buffer[] = []
  let state: State = 'unknown'
  /** Whether this is the first subscription, and Redis has not answered yet. */
  let isFresh = true
  let subscribedAt = Number.NEGATIVE_INFINITY
  /** End of the lease; monotonic milliseconds, as all times here. */
  let validUntil = Number.NEGATIVE_INFINITY
  /** End of the lease that another node was seen to hold. */
  let othersUntil = Number.NEGATIVE_INFINITY
  /** The time for which this node has the lease; undefined when another node may have held it meanwhile. */
  let period: string | undefined
  let unsubscribedAt = Number.NEGATIVE_INFINITY
  let isFencing = false

  const isValid = (): boolean => clock.monotonic() < validUntil

  const change = (next: State): void => {
    const was = state
    state = next
    if ((was === 'holder') !== (next === 'holder')) onChange(next === 'holder')
  }

  const clear = (): void => {
    waiting.retain(() => false)
    waitingBytes = 0
    lost = []
  }

  const keep = (received: ReceivedMessage): void => {
    waiting.insert(waiting.length, received)
    waitingBytes += received.bytes.length
    for (let first = waiting.at(0); first !== undefined; first = waiting.at(0)) {
      if (received.at - first.at <= KEEP_MS && waitingBytes <= MAX_BYTES) return
      waiting.shift()
      waitingBytes -= first.bytes.length
      lost.push(first.name)
    }
  }

  /** Dispatches everything that waits: no other node has. */
  const flush = (): void => {
    const now = clock.monotonic()
    for (const name of lost) onLost(name)
    for (let first = waiting.shift(); first !== undefined; first = waiting.shift())
      if (now - first.at > KEEP_MS) onLost(first.name)
      else handle(first.name, first.bytes)
    clear()
  }

  const hold = (): void => {
    change('holder')
    flush()
  }

  /** Drops what the former holder may have dispatched: what Redis had sent before this node got the lease. */
  const catchUp = async (): Promise<void> => {
    if (isFencing || clock.monotonic() < othersUntil) return
    isFencing = true
    const [began, place] = [period, unsubscribedAt]
    try {
      await fence()
      if (period === began && unsubscribedAt === place && isValid()) change('holder')
    } catch {
      // The subscription has ended.
    } finally {
      isFencing = false
    }
  }

  return {
    subscribed: () => {
      subscribedAt = clock.monotonic()
    },
    receive: (name, bytes) => {
      if (state === 'holder' && isValid()) handle(name, bytes)
      else if (state === 'holder' || (state === 'unknown' && isFresh))
        keep({ name, bytes, at: clock.monotonic() })
    },
    answered: ({ type, leftMs, since, askedAt }) => {
      // The lease was released meanwhile.
      if (askedAt <= unsubscribedAt) return
      const isKnown = since === period
      period = type === 'held' ? undefined : since
      if (type === 'released') othersUntil = Number.NEGATIVE_INFINITY
      if (type === 'held') {
        othersUntil = clock.monotonic() + leftMs
        isFresh = false
        change('other')
        clear()
        return
      }
      const wasValid = isValid()
      validUntil = askedAt + LEASE_MS - MARGIN_MS
      const isUninterrupted =
        state === 'holder'
          ? (type === 'kept' && isKnown) || (type === 'first' && wasValid)
          : type === 'first' && isFresh && clock.monotonic() - subscribedAt <= FIRST_MS
      isFresh = false
      if (!isUninterrupted) {
        // Redis has lost its data, or an answer was lost that said so: another node may have got the lease right before.
        if (type === 'first' || (type === 'kept' && !isKnown)) othersUntil = clock.monotonic() + LEASE_MS
        change('behind')
        clear()
      }
      // An answer from before a freeze says nothing about now: the next one will.
      if (!isValid()) return
      if (isUninterrupted) hold()
      else void catchUp()
    },
    unsubscribed: () => {
      const wasHolder = state === 'holder'
      unsubscribedAt = clock.monotonic()
      isFencing = false
      isFresh = false
      change('unknown')
      clear()
      return wasHolder
    },
  }
}
