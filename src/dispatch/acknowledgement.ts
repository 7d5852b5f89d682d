import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Acks } from '../store/acks.ts'
import type { UserLog } from '../store/store.ts'
import type { Reach, UnloggedAck } from './reach.ts'
import type { Redeliveries } from './redelivery.ts'

/** Records acknowledgements of clients, over WebSocket and HTTP. A repeated acknowledgement gets the first answer. */
export interface Acknowledgement {
  /** Acknowledges single notifications. Answers per id, in order: undefined if the user did not receive it. */
  ack(owner: Topic, ids: readonly string[]): Promise<readonly ({ readonly late: boolean } | undefined)[]>
  /** Acknowledges the log up to the cursor and counts. Undefined for another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): Promise<number | undefined>
}

const resultOf = (ack: UnloggedAck = 'unknown'): { readonly late: boolean } | undefined =>
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
  const ackLogged = async (owner: Topic, ids: readonly string[]) => {
    const found = ids.length === 0 ? [] : await acks.ack(owner, ids)
    for (const each of found) if (each !== undefined) redeliveries.settled(owner, each.cursor)
    return new Map(ids.map((id, n) => [id, found[n]]))
  }

  /** Asks other nodes last: a client may send any number of made-up ids. */
  const ackElsewhere = async (owner: Topic, ids: readonly string[]) => {
    const acked = ids.length === 0 ? [] : ((await reach.acknowledgeElsewhere(owner, ids)) ?? [])
    return new Map(ids.map((id, n) => [id, resultOf(acked[n])]))
  }

  return {
    ack: async (owner, ids) => {
      const answered = reach.acknowledge(owner, ids)
      const unlogged = answered instanceof Promise ? await answered : answered
      const logged = await ackLogged(
        owner,
        ids.filter((_, n) => unlogged[n] === 'unknown'),
      )
      const isOpen = (id: string, n: number): boolean =>
        unlogged[n] === 'unknown' && logged.get(id) === undefined
      const elsewhere = await ackElsewhere(owner, ids.filter(isOpen))
      return ids.map((id, n) => logged.get(id) ?? elsewhere.get(id) ?? resultOf(unlogged[n]))
    },
    ackThrough: async (owner, cursor) => {
      const count = await acks.ackThrough(owner, cursor)
      if (count === undefined) return undefined
      redeliveries.settled(owner, cursor, true)
      log.received(owner, cursor)
      return count
    },
  }
}
