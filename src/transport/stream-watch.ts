import type { Receipts } from '../dispatch/receipts.ts'
import type { Hub } from '../hub/hub.ts'
import type { SendQueues } from '../lib/system/send-queues.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { OnFault } from '../observe/fault.ts'
import type { Peer } from './peer.ts'
import { SsePeer } from './sse-peer.ts'
import type { StreamProgress } from './stream-proof.ts'

interface StreamWatchOptions {
  readonly hub: Hub<Peer>
  readonly receipts: Receipts
  readonly queues: Pick<SendQueues, 'read'>
  readonly clock: Clock
  readonly heartbeatSeconds: number
  readonly timeoutSeconds: number
  readonly onFault: OnFault
}

/** Takes TCP acknowledgements as receipts of SSE streams, and ends streams whose network has vanished. */
export interface StreamWatch {
  /** Starts to read the send queues when an interval has passed; true if it does. */
  tick(now: number): boolean
}

/**
 * The kernel forgets the bytes of a client that has reset its connection, as if it had received them. The service handles
 * such ends before it judges a reading.
 */
const NOTICE_MS = 1

export function watchStreams(options: StreamWatchOptions): StreamWatch {
  const { hub, receipts, queues, clock, onFault } = options
  const intervalMs = options.heartbeatSeconds * 1000
  const timeoutMs = options.timeoutSeconds * 1000
  let nextAt = clock.monotonic()
  let isReading = false

  const handedToStreams = (): [SsePeer, StreamProgress][] => {
    const handed: [SsePeer, StreamProgress][] = []
    for (const peer of hub.connections()) if (peer instanceof SsePeer) handed.push([peer, peer.handed()])
    return handed
  }

  const judge = (peer: SsePeer, handed: StreamProgress, unacknowledged: number, now: number): void => {
    if (peer.hasEnded()) return
    const proved = peer.proof.judge(handed, unacknowledged, now)
    if (proved?.epoch === peer.epoch) receipts.proved(peer, proved)
    const { owesSince } = peer.proof
    if (owesSince !== undefined && now - owesSince >= timeoutMs) peer.close('silent')
  }

  const read = async (streams: readonly [SsePeer, StreamProgress][], now: number): Promise<void> => {
    const unacknowledged = await queues.read()
    if (unacknowledged === undefined) return
    await Bun.sleep(NOTICE_MS)
    for (const [peer, handed] of streams) {
      try {
        judge(peer, handed, unacknowledged.get(peer.clientEnd) ?? 0, now)
      } catch (error) {
        onFault(error)
      }
    }
  }

  return {
    tick: now => {
      if (isReading || now < nextAt) return false
      const streams = handedToStreams()
      if (streams.length === 0) return false
      nextAt = now + intervalMs
      isReading = true
      void read(streams, now)
        .catch(onFault)
        .finally(() => {
          isReading = false
        })
      return true
    },
  }
}
