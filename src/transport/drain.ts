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

/** Seconds before a reconnect: the rest of the drain, plus 1 to 2 to restart. */
const comeBackIn = (leftMs: number): number => Math.ceil(Math.max(0, leftMs) / 1000 + 1 + Math.random())

/** Sends `shutdown` to each peer and closes it, in random order, spread evenly over `seconds`. */
export async function closeAll(
  peers: readonly Peer[],
  { seconds, clock, onFault }: { readonly seconds: number; readonly clock: Clock; readonly onFault: OnFault },
): Promise<void> {
  const startedAt = clock.monotonic()
  const spanMs = seconds * 1000
  for (const [n, peer] of shuffle(peers).entries()) {
    const wait = startedAt + (n * spanMs) / peers.length - clock.monotonic()
    if (wait >= 1) await Bun.sleep(wait)
    try {
      if (!peer.hasEnded()) peer.shutdown(shutdown(comeBackIn(startedAt + spanMs - clock.monotonic())))
    } catch (error) {
      onFault(error)
    }
  }
}
