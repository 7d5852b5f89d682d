import { inTurns } from '../lib/flow/in-turns.ts'
import type { Clock } from '../lib/time/clock.ts'
import { every } from '../lib/time/every.ts'
import type { Topic } from '../notification/topic.ts'
import type { StoreObserver } from '../store/store.ts'
import type { UnloggedAck } from './reach.ts'

/** Acknowledgements of notifications outside any log. They are counted, never redelivered. */
export interface CrowdAcks extends Disposable {
  /** Starts to wait for acknowledgements of users who are about to receive it. */
  expect(id: string, owners: Iterable<Topic>): void
  ack(id: string, owner: Topic): UnloggedAck
}

interface CrowdAcksOptions {
  readonly clock: Clock
  readonly observer: Pick<StoreObserver, 'tracked' | 'acked'>
  /** Called with the number of users in `owner`'s tenant that did not acknowledge in time. */
  readonly onGivenUp: (owner: Topic, users: number) => void
  /** Time to acknowledge, and interval of removing expired records; milliseconds. */
  readonly timeoutMs: number
  readonly cleanupMs: number
  /** Maximum pairs of notification and user; above it the oldest notifications expire early. */
  readonly max?: number
}

interface PendingAck {
  readonly at: number
  readonly waiting: Set<Topic>
  readonly acked: Set<Topic>
}

const MAX_PAIRS = 1_000_000

export function createCrowdAcks({
  clock,
  observer,
  onGivenUp,
  timeoutMs,
  cleanupMs,
  max = MAX_PAIRS,
}: CrowdAcksOptions): CrowdAcks {
  /** Notifications by id, oldest first. */
  const sent = new Map<string, PendingAck>()
  let pairs = 0

  const expectedOf = (id: string): PendingAck => {
    const known = sent.get(id)
    if (known !== undefined) return known
    const expected = { at: clock.monotonic(), waiting: new Set<Topic>(), acked: new Set<Topic>() }
    sent.set(id, expected)
    return expected
  }

  const end = (id: string, { waiting, acked }: PendingAck): void => {
    sent.delete(id)
    pairs -= waiting.size + acked.size
    // All users of one notification belong to one tenant.
    const [owner] = waiting
    if (owner !== undefined) onGivenUp(owner, waiting.size)
  }

  const isOver = ({ at }: PendingAck): boolean => clock.monotonic() - at > timeoutMs

  function* overdue(): Generator<[string, PendingAck]> {
    for (const each of sent) {
      if (!isOver(each[1])) return
      yield each
    }
  }

  const cleaning = every(cleanupMs, () => inTurns(overdue(), each => end(...each)))

  return {
    expect: (id, owners) => {
      for (const owner of owners) {
        const { waiting, acked } = expectedOf(id)
        if (waiting.has(owner) || acked.has(owner)) continue
        waiting.add(owner)
        pairs++
        observer.tracked(owner, 1)
      }
      for (const [oldest, expected] of sent) {
        if (pairs <= max || oldest === id) break
        end(oldest, expected)
      }
    },
    ack: (id, owner) => {
      const expected = sent.get(id)
      if (expected?.acked.has(owner)) return 'acked'
      if (!expected?.waiting.has(owner)) return 'unknown'
      if (isOver(expected)) return 'late'
      expected.waiting.delete(owner)
      expected.acked.add(owner)
      observer.acked(owner, clock.monotonic() - expected.at)
      return 'acked'
    },
    [Symbol.dispose]: () => cleaning[Symbol.dispose](),
  }
}
