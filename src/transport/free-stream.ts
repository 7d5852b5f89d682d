import type { Hub } from '../hub/hub.ts'
import type { SendQueues } from '../lib/system/send-queues.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { Topic } from '../notification/topic.ts'
import type { Peer } from './peer.ts'
import { SilenceWatch } from './silence-watch.ts'
import { SsePeer } from './sse-peer.ts'

/**
 * Ends streams of this node whose clients have gone, until the user is below the limit. Takes up to WAIT_MS.
 * Returns undefined for a user without streams.
 */
export type FreeStream = (owner: Topic, isFull: () => boolean) => Promise<void> | undefined

interface FreeStreamOptions {
  readonly hub: Hub<Peer>
  readonly queues: Pick<SendQueues, 'read'>
  readonly clock: Clock
}

export const WAIT_MS = 1_000
const LOOK_MS = 25
/** The first write makes the client's system answer with a reset; HAProxy sees that at the next write. */
const PROBE_MS = 150
/** Time for the runtime to hand the first write to the system, and then between readings of the send queues. */
const BEGIN_AT_MS = 100
const READ_EVERY_MS = 300

/**
 * Some proxies (HAProxy, Apache) notice a vanished client only at their next write. Until then its stream counts
 * against the user's limit. At the limit, the server writes to all streams of the user every PROBE_MS and waits up to
 * WAIT_MS for one of them to end. Then a stream gives way whose client acknowledged nothing.
 */
export function createFreeStream({ hub, queues, clock }: FreeStreamOptions): FreeStream {
  const probe = (streams: readonly SsePeer[]): void => {
    const now = clock.monotonic()
    for (const stream of streams) {
      if (now - stream.probedAt < PROBE_MS || stream.buffered() > 0) continue
      stream.probedAt = now
      stream.ping()
    }
  }

  const free = async (streams: readonly SsePeer[], isFull: () => boolean): Promise<void> => {
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

  return (owner, isFull) => {
    const streams = [...hub.members(owner)].filter(each => each instanceof SsePeer)
    return streams.length === 0 ? undefined : free(streams, isFull)
  }
}
