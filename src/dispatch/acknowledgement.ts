import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { Acks, UserLog } from '../store/store.ts'
import type { CrowdAcks } from './crowd-acks.ts'
import type { Redeliveries } from './redelivery.ts'

/** What clients say to have received: over any device, over WebSocket or HTTP, and however often. */
export interface Acknowledgement {
  /** Of single notifications, in the order of the ids: undefined for those this user did not get. */
  ack(owner: Topic, ids: readonly string[]): Promise<readonly ({ readonly late: boolean } | undefined)[]>
  /** Of everything in the user's log up to the cursor: how many; undefined for a cursor of another epoch or beyond the head. */
  ackThrough(owner: Topic, cursor: Cursor): Promise<number | undefined>
}

export function createAcknowledgement({
  acks,
  log,
  crowdAcks,
  redeliveries,
}: {
  readonly acks: Acks
  readonly log: Pick<UserLog, 'received'>
  readonly crowdAcks: Pick<CrowdAcks, 'ack'>
  readonly redeliveries: Pick<Redeliveries, 'settled'>
}): Acknowledgement {
  const ackKept = async (owner: Topic, ids: readonly string[]) => {
    const found = ids.length === 0 ? [] : await acks.ack(owner, ids)
    for (const each of found) if (each !== undefined) redeliveries.settled(owner, each.cursor)
    return new Map(ids.map((id, n) => [id, found[n]]))
  }

  return {
    ack: async (owner, ids) => {
      const unlogged = ids.map(id => crowdAcks.ack(id, owner))
      const kept = await ackKept(
        owner,
        ids.filter((_, n) => unlogged[n] === undefined),
      )
      return ids.map((id, n) => unlogged[n] ?? kept.get(id))
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
