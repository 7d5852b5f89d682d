import { createLRU } from 'lru.min'
import { ALL_NODES } from '../../bus/bus.ts'
import { StoreAway } from '../../errors.ts'
import { type Rate, take } from '../../lib/flow/bucket.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Topic } from '../../notification/topic.ts'
import type { Reach, UnloggedAck } from '../reach.ts'
import type { Calls } from './calls.ts'
import { createQuestion } from './question.ts'

interface AckElsewhereOptions {
  readonly local: Pick<Reach, 'acknowledge'>
  readonly calls: Pick<Calls, 'on' | 'ask'>
  readonly clock: Pick<Clock, 'monotonic'>
}

interface AckQuestion {
  readonly owner: Topic
  readonly ids: readonly string[]
}

const ACKNOWLEDGE = 'acknowledge'

/** A message that makes another node record acknowledgements. */
export const acknowledgeOn = (owner: Topic, ids: readonly string[]): { kind: string; text: string } => ({
  kind: ACKNOWLEDGE,
  text: JSON.stringify({ owner, ids } satisfies AckQuestion),
})

/** Questions of one user about ids that no node knows: 20 at once, then 20 a minute. */
const WASTED: Rate = { capacity: 20, intervalMs: 3_000 }
const MAX_USERS = 10_000

/** The acknowledgement of one id that some node knew. */
const bestOf = (acks: readonly (UnloggedAck | undefined)[]): UnloggedAck =>
  acks.find(ack => ack === 'acked') ?? acks.find(ack => ack === 'late') ?? 'unknown'

/**
 * Acknowledges messages that other nodes wrote. Rejects with StoreAway when an unknown id may belong to a node that did
 * not answer. A user who makes up ids soon causes no more questions.
 */
export function createAckElsewhere({
  local,
  calls,
  clock,
}: AckElsewhereOptions): Reach['acknowledgeElsewhere'] {
  const ask = createQuestion<AckQuestion, readonly UnloggedAck[]>(calls, ACKNOWLEDGE, ({ owner, ids }) =>
    local.acknowledge(owner, ids),
  )
  /** When the bucket of each user is full again. */
  const wasted = createLRU<Topic, number>({ max: MAX_USERS })

  return async (owner, ids) => {
    const { waitMs, fullAt } = take(wasted.get(owner) ?? 0, clock.monotonic(), WASTED)
    if (waitMs > 0) return ids.map(() => 'unknown')
    wasted.set(owner, fullAt)
    const { answers, partial } = await ask(ALL_NODES, { owner, ids })
    const acked = ids.map((_, n) => bestOf(answers.map(acks => acks[n])))
    const hasUnknown = acked.includes('unknown')
    if (partial || !hasUnknown) wasted.set(owner, (wasted.get(owner) ?? 0) - WASTED.intervalMs)
    if (partial && hasUnknown) throw new StoreAway('a node that may know the notification did not answer')
    return acked
  }
}
