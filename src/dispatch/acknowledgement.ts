import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Acks } from '../store/acks.ts'
import type { UserLog } from '../store/store.ts'
import type { Reach, UnloggedAck } from './reach.ts'
import type { Redeliveries } from './redelivery.ts'

/** Records acknowledgements of clients, over WebSocket and HTTP. A repeated acknowledgement gets the first answer. */
export interface Acknowledgement {
  /**
   * Acknowledges single notifications. Answers per id, in order: undefined if the user did not receive it. With a log in
   * this process and no bus it answers at once.
   */
  ack(owner: Topic, ids: readonly string[]): Awaitable<readonly (Acknowledged | undefined)[]>
  /** Acknowledges the log up to the cursor and counts. Undefined for another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): Promise<number | undefined>
}

interface Acknowledged {
  readonly late: boolean
}

const resultOf = (ack: UnloggedAck = 'unknown'): Acknowledged | undefined =>
  ack === 'unknown' ? undefined : { late: ack === 'late' }

export function createAcknowledgement({
  acks,
  log,
  reach,
  redeliveries,
}: {
  readonly acks: Pick<Acks, 'ack' | 'ackThrough'>
  readonly log: Pick<UserLog, 'received'>
  readonly reach: Pick<Reach, 'acknowledge' | 'acknowledgeElsewhere'>
  readonly redeliveries: Pick<Redeliveries, 'settled'>
}): Acknowledgement {
  const ackLogged = (
    owner: Topic,
    ids: readonly string[],
  ): Awaitable<readonly (Acknowledged | undefined)[]> => {
    if (ids.length === 0) return []
    return whenReady(acks.ack(owner, ids), found => {
      for (const each of found) if (each !== undefined) redeliveries.settled(owner, each.cursor)
      return found
    })
  }

  /** Asks other nodes last: a client may send any number of made-up ids. */
  const ackElsewhere = (
    owner: Topic,
    ids: readonly string[],
    known: readonly (Acknowledged | undefined)[],
  ): Awaitable<readonly (Acknowledged | undefined)[]> => {
    const open = ids.filter((_, n) => known[n] === undefined)
    if (open.length === 0) return known
    return whenReady(reach.acknowledgeElsewhere(owner, open) ?? [], acked => {
      let next = 0
      return known.map(each => each ?? resultOf(acked[next++]))
    })
  }

  return {
    ack: (owner, ids) =>
      whenReady(reach.acknowledge(owner, ids), unlogged => {
        const asked = ids.filter((_, n) => unlogged[n] === 'unknown')
        return whenReady(ackLogged(owner, asked), logged => {
          let next = 0
          const known = unlogged.map(each => (each === 'unknown' ? logged[next++] : resultOf(each)))
          return ackElsewhere(owner, ids, known)
        })
      }),
    ackThrough: async (owner, cursor) => {
      const count = await acks.ackThrough(owner, cursor)
      if (count === undefined) return undefined
      redeliveries.settled(owner, cursor, true)
      log.received(owner, cursor)
      return count
    },
  }
}
