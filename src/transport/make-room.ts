import type { RoomElsewhere } from '../dispatch/cluster/room-elsewhere.ts'
import type { OpenConnections, Reach } from '../dispatch/reach.ts'
import type { Hub } from '../hub/hub.ts'
import type { LimitsOf } from '../limit/tenants.ts'
import type { Principal } from '../notification/principal.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { OnFault } from '../observe/fault.ts'
import { type FreeStream, WAIT_MS } from './free-stream.ts'
import type { Peer } from './peer.ts'

/**
 * Waits for room for one more connection of a user at the limit, then resolves with the connections on other nodes.
 * Returns undefined when there is room, or when waiting cannot help.
 */
export type MakeRoom = (
  principal: Principal,
  elsewhere: OpenConnections,
) => Promise<OpenConnections> | undefined

interface MakeRoomOptions {
  readonly hub: Pick<Hub<Peer>, 'members'>
  readonly reach: Pick<Reach, 'openConnections' | 'countElsewhere'>
  readonly limitsOf: LimitsOf
  readonly freeStream: FreeStream
  /** Undefined without a bus. */
  readonly room: RoomElsewhere | undefined
  readonly onFault: OnFault
}

/** Bound on waiting requests; further ones are answered at once. */
const MAX_WAITING = 1_000
/** Pauses between counts of connections on other nodes. They end after the other nodes have freed a stream. */
const PAUSES_MS = [200, 200, WAIT_MS - 400, 200, 200]

/** At the limit, ends a stream of the user whose client has gone, on whichever node it is. */
export function createMakeRoom(options: MakeRoomOptions): MakeRoom {
  const { hub, reach, limitsOf, freeStream, room, onFault } = options
  let waiting = 0
  /** Users for whom this node frees a stream, asked by another one. */
  const freeing = new Set<Topic>()

  const limited = async <T>(work: Promise<T>): Promise<T> => {
    waiting++
    try {
      return await work
    } finally {
      waiting--
    }
  }

  /** Looks for one stream to end, whatever the limit. */
  const freeForOthers = (owner: Topic): boolean => {
    if (freeing.has(owner)) return true
    if (waiting >= MAX_WAITING) return false
    const { size } = hub.members(owner)
    const freed = freeStream(owner, () => hub.members(owner).size >= size)
    if (freed === undefined) return false
    freeing.add(owner)
    limited(freed)
      .catch(onFault)
      .finally(() => freeing.delete(owner))
    return true
  }
  room?.onAsked(freeForOthers)

  return ({ tenant, user }, elsewhere) => {
    const { user: most } = limitsOf(tenant)
    const owner = userTopic(tenant, user)
    let away = elsewhere.user
    const isFull = (): boolean => most > 0 && reach.openConnections(tenant, owner).user + away >= most
    if (!isFull() || waiting >= MAX_WAITING) return undefined

    const waitForOthers = async (): Promise<void> => {
      if (!(await room?.ask(owner))) return
      for (const pause of PAUSES_MS) {
        await Bun.sleep(pause)
        if (!isFull()) return
        const counted = await reach.countElsewhere(tenant, user, { user: true, tenant: false })
        away = counted?.user ?? 0
      }
    }

    const here = freeStream(owner, isFull)
    const there = away > 0 ? waitForOthers() : undefined
    if (here === undefined && there === undefined) return undefined
    return limited(Promise.all([here, there]).then(() => ({ ...elsewhere, user: away })))
  }
}
