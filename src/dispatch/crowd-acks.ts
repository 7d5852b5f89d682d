import { inTurns } from '../lib/flow/in-turns.ts'
import type { Clock } from '../lib/time/clock.ts'
import { every } from '../lib/time/every.ts'
import type { Topic } from '../notification/topic.ts'
import type { StoreObserver } from '../store/store.ts'
import type { SharedUsers } from './cluster/shared-users.ts'
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
  /** Absent without other nodes. */
  readonly sharedUsers?: Pick<SharedUsers, 'counterOf' | 'reached' | 'acked' | 'listen'> | undefined
}

interface PendingAck {
  readonly at: number
  readonly waiting: Set<Topic>
  readonly acked: Set<Topic>
  /** Users for whom another node counts, with that node. */
  elsewhere?: Map<Topic, string>
}

const MAX_PAIRS = 1_000_000

export function createCrowdAcks({
  clock,
  observer,
  onGivenUp,
  timeoutMs,
  cleanupMs,
  max = MAX_PAIRS,
  sharedUsers,
}: CrowdAcksOptions): CrowdAcks {
  /** Notifications by id, oldest first. */
  const sent = new Map<string, PendingAck>()
  let pairs = 0

  const expectedOf = (id: string): PendingAck => {
    const known = sent.get(id)
    if (known !== undefined) return known
    const expected: PendingAck = { at: clock.monotonic(), waiting: new Set<Topic>(), acked: new Set<Topic>() }
    sent.set(id, expected)
    return expected
  }

  const end = (id: string, { waiting, acked, elsewhere }: PendingAck): void => {
    sent.delete(id)
    pairs -= waiting.size + acked.size + (elsewhere?.size ?? 0)
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

  const expect = (id: string, owners: Iterable<Topic>): void => {
    let counted: Map<string, Topic[]> | undefined
    for (const owner of owners) {
      const expected = expectedOf(id)
      const { waiting, acked } = expected
      if (waiting.has(owner) || acked.has(owner) || expected.elsewhere?.has(owner)) continue
      pairs++
      const counter = sharedUsers?.counterOf(owner)
      if (counter === undefined) {
        waiting.add(owner)
        observer.tracked(owner, 1)
        continue
      }
      expected.elsewhere ??= new Map()
      expected.elsewhere.set(owner, counter)
      counted ??= new Map()
      const reached = counted.get(counter)
      if (reached === undefined) counted.set(counter, [owner])
      else reached.push(owner)
    }
    for (const [counter, reached] of counted ?? []) sharedUsers?.reached(counter, id, reached)
    for (const [oldest, expected] of sent) {
      if (pairs <= max || oldest === id) break
      end(oldest, expected)
    }
  }
  sharedUsers?.listen(expect)

  return {
    expect,
    ack: (id, owner) => {
      const expected = sent.get(id)
      if (expected === undefined) return 'unknown'
      const { at, waiting, acked, elsewhere } = expected
      if (acked.has(owner)) return 'acked'
      const counter = elsewhere?.get(owner)
      if (counter === undefined && !waiting.has(owner)) return 'unknown'
      if (isOver(expected)) return 'late'
      acked.add(owner)
      if (counter === undefined) {
        waiting.delete(owner)
        observer.acked(owner, clock.monotonic() - at)
      } else {
        elsewhere?.delete(owner)
        sharedUsers?.acked(counter, id, owner)
      }
      return 'acked'
    },
    [Symbol.dispose]: () => cleaning[Symbol.dispose](),
  }
}
