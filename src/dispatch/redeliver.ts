import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Cursor } from '../notification/cursor.ts'
import { redeliveredFrame } from '../notification/frame.ts'
import type { Topic } from '../notification/topic.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Acks } from '../store/store.ts'

export interface RedeliverOptions {
  readonly hub: Hub
  readonly acks: Pick<Acks, 'redeliver'>
  /** Deliveries of one entry, the first included. */
  readonly maxDeliveries: number
  readonly onRedelivered: (owner: Topic, taken: number, refused: number) => void
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Redelivers one entry. False when the entry was acknowledged, has expired or left the log. */
export type Redeliver = (owner: Topic, cursor: Cursor) => Promise<boolean>

const isLiveSocket = ({ transport, phase }: Connection): boolean => transport === 'ws' && phase === 'live'

/** The live WebSockets of a user. */
export function liveSockets(hub: Hub, owner: Topic): readonly Connection[] {
  const members = hub.members(owner)
  return members.size === 0 ? [] : [...members].filter(isLiveSocket)
}

export function createRedeliver({
  hub,
  acks,
  maxDeliveries,
  onRedelivered,
  tracing,
}: RedeliverOptions): Redeliver {
  return async (owner, cursor) => {
    const span = tracing?.start('redelivery')
    const found = await acks.redeliver(owner, cursor, maxDeliveries)
    if (found === undefined) return false
    span?.link(found.traceparent)
    const frame = redeliveredFrame(found.body, cursor, found.redelivered)
    let taken = 0
    let refused = 0
    for (const socket of liveSockets(hub, owner)) {
      // A connection that has not come to this place gets the entry there.
      if (socket.epoch !== cursor.epoch || socket.position < cursor.seq) continue
      if (socket.write(frame) !== 'refused') taken++
      else {
        refused++
        socket.cut()
      }
    }
    onRedelivered(owner, taken, refused)
    span?.set({ 'ara.entries': 1, 'ara.delivered_to': taken })
    span?.end()
    return true
  }
}
