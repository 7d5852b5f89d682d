import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { OnFault } from '../observe/fault.ts'
import { shutdown } from './outbound.ts'
import type { Peer } from './peer.ts'

/** Shuffles (Fisher–Yates), so that clients reconnect in random order. */
function shuffle<T>(items: readonly T[]): T[] {
  const shuffled = [...items]
  for (let n = shuffled.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1))
    const [a, b] = [shuffled[n], shuffled[other]]
    if (a !== undefined && b !== undefined) [shuffled[n], shuffled[other]] = [b, a]
  }
  return shuffled
}

/** Seconds before a reconnect when other nodes serve. */
const AT_ONCE = 1

/** Seconds before a reconnect to this node: the rest of the drain, plus 1 to 2 to restart. */
const comeBackIn = (leftMs: number): number => Math.ceil(Math.max(0, leftMs) / 1000 + 1 + Math.random())

interface EndingOptions {
  readonly hub: Hub<Peer>
  readonly hasOtherNodes: () => boolean
  readonly clock: Clock
  readonly onFault: OnFault
}

/** Ends all connections, before the process ends. */
export interface Ending {
  /** True while new connections are refused. */
  readonly draining: boolean
  /** True while open connections are closed. */
  readonly closing: boolean
  /** Refuses new connections and closes the open ones over `seconds`; resolves after the last one. */
  drain(seconds: number): Promise<void>
  /** Closes the open connections over `seconds` and refuses no new one; resolves after the last one. */
  move(seconds: number): Promise<void>
}

export function createEnding({ hub, hasOtherNodes, clock, onFault }: EndingOptions): Ending {
  let draining = false
  let closing = false

  /** Sends `shutdown` to each peer and closes it, in random order, spread evenly over `seconds`. */
  const move = async (seconds: number): Promise<void> => {
    closing = true
    const startedAt = clock.monotonic()
    const spanMs = seconds * 1000
    const peers = shuffle([...hub.connections()])
    for (const [n, peer] of peers.entries()) {
      const wait = startedAt + (n * spanMs) / peers.length - clock.monotonic()
      if (wait >= 1) await Bun.sleep(wait)
      try {
        const seconds = hasOtherNodes() ? AT_ONCE : comeBackIn(startedAt + spanMs - clock.monotonic())
        if (!peer.hasEnded()) peer.shutdown(shutdown(seconds))
      } catch (error) {
        onFault(error)
      }
    }
  }

  return {
    get draining() {
      return draining
    },
    get closing() {
      return closing
    },
    drain: seconds => {
      draining = true
      return move(seconds)
    },
    move,
  }
}
