import type { OpenConnections, Reach } from '../dispatch/reach.ts'
import type { Hub } from '../hub/hub.ts'
import type { SendQueues } from '../lib/system/send-queues.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { LimitsOf } from '../limit/tenants.ts'
import type { Principal } from '../notification/principal.ts'
import { userTopic } from '../notification/topic.ts'
import type { Peer } from './peer.ts'
import { SilenceWatch } from './silence-watch.ts'
import { SsePeer } from './sse-peer.ts'

/** Returns undefined when there is room, or when waiting cannot help. */
export type MakeRoom = (principal: Principal, elsewhere: OpenConnections) => Promise<void> | undefined

interface MakeRoomOptions {
  readonly hub: Hub<Peer>
  readonly reach: Pick<Reach, 'openConnections'>
  readonly limitsOf: LimitsOf
  readonly queues: Pick<SendQueues, 'read'>
  readonly clock: Clock
}

const WAIT_MS = 1_000
const LOOK_MS = 25
/** The first write makes the client's system answer with a reset; HAProxy sees that at the next write. */
const PROBE_MS = 150
/** Time for the runtime to hand the first write to the system, and then between readings of the send queues. */
const BEGIN_AT_MS = 100
const READ_EVERY_MS = 300
/** Bound on waiting requests; further ones are answered at once. */
const MAX_WAITING = 1_000

/**
 * Some proxies (HAProxy, Apache) notice a vanished client only at their next write. Until then its stream counts
 * against the user's limit. At the limit, the server writes to all streams of the user every PROBE_MS. The new
 * connection waits up to WAIT_MS for one of them to end. Then a stream gives way whose client acknowledged nothing.
 */
export function createMakeRoom({ hub, reach, limitsOf, queues, clock }: MakeRoomOptions): MakeRoom {
  let waiting = 0

  const probe = (streams: readonly SsePeer[]): void => {
    const now = clock.monotonic()
    for (const stream of streams) {
      if (now - stream.probedAt < PROBE_MS || stream.buffered() > 0) continue
      stream.probedAt = now
      stream.ping()
    }
  }

  const wait = async (isFull: () => boolean, streams: readonly SsePeer[]): Promise<void> => {
    const silence = new SilenceWatch(queues)
    for (let waited = 0; isFull() && waited < WAIT_MS; waited += LOOK_MS) {
      probe(streams)
      if (waited === BEGIN_AT_MS) await silence.begin(streams)
      else if (waited > 0 && waited % READ_EVERY_MS === 0) await silence.readAgain()
      await Bun.sleep(LOOK_MS)
    }
    if (isFull()) await silence.readAgain()
    const silent = isFull() ? silence.longest() : undefined
    if (silent === undefined) return
    silent.proof.owesSince ??= clock.monotonic()
    silent.close('silent')
  }

  return ({ tenant, user }, elsewhere) => {
    const { user: most } = limitsOf(tenant)
    const owner = userTopic(tenant, user)
    const isFull = (): boolean =>
      most > 0 && reach.openConnections(tenant, user).user + elsewhere.user >= most
    if (!isFull() || elsewhere.user >= most || waiting >= MAX_WAITING) return undefined
    const streams = [...hub.members(owner)].filter(each => each instanceof SsePeer)
    if (streams.length === 0) return undefined
    waiting++
    return wait(isFull, streams).finally(() => {
      waiting--
    })
  }
}
