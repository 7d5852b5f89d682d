import type { Reach } from '../dispatch/reach.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { LimitsOf } from '../limit/tenants.ts'
import type { Principal } from '../notification/principal.ts'
import { userTopic } from '../notification/topic.ts'
import type { Peer } from './peer.ts'
import { SsePeer } from './sse-peer.ts'

/** Undefined when the user may have one more connection, or waiting cannot help. */
export type MakeRoom = (principal: Principal) => Promise<void> | undefined

interface MakeRoomOptions {
  readonly hub: Hub<Peer>
  readonly reach: Pick<Reach, 'admitted'>
  readonly limitsOf: LimitsOf
  readonly clock: Clock
}

/** Long enough for a proxy to write to its client and to be told by a reset that there is none. */
const WAIT_MS = 1_000
const LOOK_MS = 25
/** Requests that wait at one time; any further one is answered at once. */
const MAX_WAITING = 1_000

/**
 * Some proxies (HAProxy, Apache) notice that the client of a stream has gone only when they next write to it: until then it counts
 * against the user's limit. When that is full, all his streams are written to, and the new connection waits a moment for one to end.
 */
export function createMakeRoom({ hub, reach, limitsOf, clock }: MakeRoomOptions): MakeRoom {
  let waiting = 0

  const probe = (streams: readonly SsePeer[]): void => {
    const now = clock.monotonic()
    for (const stream of streams) {
      if (now - stream.probedAt < WAIT_MS) continue
      stream.probedAt = now
      stream.ping()
    }
  }

  const wait = async (isFull: () => boolean): Promise<void> => {
    waiting++
    for (let waited = 0; isFull() && waited < WAIT_MS; waited += LOOK_MS) await Bun.sleep(LOOK_MS)
    waiting--
  }

  return ({ tenant, user }) => {
    const { user: most } = limitsOf(tenant)
    const owner = userTopic(tenant, user)
    const isFull = (): boolean => most > 0 && reach.admitted(tenant, user).user >= most
    if (!isFull() || waiting >= MAX_WAITING) return undefined
    const streams = [...hub.members(owner)].filter(each => each instanceof SsePeer)
    if (streams.length === 0) return undefined
    probe(streams)
    return wait(isFull)
  }
}
