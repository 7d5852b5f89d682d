import type { Listeners } from './http/listeners.ts'
import type { Clock } from './lib/time/clock.ts'
import type { Logger } from './observe/log.ts'
import type { Ending } from './transport/ending.ts'

/** Ways in which the service ends without breaking a request. */
export interface Drain {
  /** Disconnects every client and answers the requests in flight; resolves within DRAIN_SECONDS and one second. */
  drain(seconds?: number): Promise<void>
  /** Like `drain`, while another process already serves the port: refuses no request and no new connection. */
  handOver(): Promise<void>
}

interface DrainOptions {
  readonly drainSeconds: number
  readonly openConnections: () => number
  readonly ending: Pick<Ending, 'drain' | 'move'>
  readonly listeners: Pick<Listeners<unknown>, 'connections' | 'stop'>
  /** Leaves new connections to another process. */
  readonly leavePort: () => void
  /** Stops messages from Redis in this turn; resolves when those in progress are dispatched. */
  readonly stopTriggers: () => unknown
  readonly beforeClose: () => Promise<unknown>
  /** Closes all other parts; monotonic milliseconds. */
  readonly close: (endsAt: number) => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/** Part of the last second after DRAIN_SECONDS; cuts the connections that are still open. */
const CUT_BEFORE_END_MS = 300
const LOOK_MS = 50
/** Time for one more request on kept connections, also without DRAIN_SECONDS. */
const LAST_ANSWERS_MS = 400

export function createDrain({
  drainSeconds,
  openConnections,
  ending,
  listeners,
  leavePort,
  stopTriggers,
  beforeClose,
  close,
  clock,
  logger,
}: DrainOptions): Drain {
  const untilAt = (endsAt: number): Promise<void> => Bun.sleep(Math.max(0, endsAt - clock.monotonic()))

  const run = async (seconds: number, disconnect: () => Promise<void>): Promise<void> => {
    const endsAt = clock.monotonic() + seconds * 1000 + 1000 - CUT_BEFORE_END_MS
    logger.info({ connections: openConnections(), seconds }, 'drain.started')
    // In one turn: messages from Redis stop, and readiness fails.
    const dispatched = stopTriggers()
    await disconnect()
    await Promise.race([Promise.all([listeners.stop(), dispatched]), untilAt(endsAt)])
    await Promise.race([beforeClose(), untilAt(endsAt)])
    // A hanging disk must not keep the process: every answered request is stored already.
    await Promise.race([close(endsAt), untilAt(endsAt + CUT_BEFORE_END_MS / 2)])
    logger.info({}, 'drain.ended')
  }

  return {
    drain: (seconds = drainSeconds) => run(seconds, () => ending.drain(seconds)),
    handOver: () =>
      run(drainSeconds, async () => {
        const endsAt = clock.monotonic() + drainSeconds * 1000 + LAST_ANSWERS_MS
        leavePort()
        await ending.move(drainSeconds)
        // An HTTP connection ends with its next answer: closing it earlier could break a request.
        while (listeners.connections() > 0 && clock.monotonic() < endsAt) {
          await Bun.sleep(LOOK_MS)
          await ending.move(0)
        }
      }),
  }
}
