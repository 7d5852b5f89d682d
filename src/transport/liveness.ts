import type { Receipts } from '../dispatch/receipts.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import { HEARTBEAT, tokenExpiring } from './outbound.ts'
import { type Peer, tell } from './peer.ts'

interface LivenessOptions {
  readonly hub: Hub<Peer>
  readonly receipts: Receipts
  readonly clock: Clock
  readonly leewaySeconds: number
  readonly heartbeatSeconds: number
  readonly timeoutSeconds: number
  readonly cleanupSeconds: number
}

/** How often due heartbeats, token ends and silence are looked for: bounds how late they come. */
const TICK_MS = 250
const EXPIRY_NOTICE_MS = 25_000

/** Heartbeats, silence, stuck readers and the end of tokens, by one timer for all connections. Ends when disposed. */
export function keepAlive({ hub, receipts, clock, ...seconds }: LivenessOptions): Disposable {
  const heartbeatMs = seconds.heartbeatSeconds * 1000
  const timeoutMs = seconds.timeoutSeconds * 1000
  const leewayMs = seconds.leewaySeconds * 1000
  const cleanupMs = seconds.cleanupSeconds * 1000
  let nextCleanupAt = clock.monotonic() + cleanupMs

  /** A stream or a replay that takes nothing of what waits for it is cut; a live WebSocket that does not read is silent too. */
  const watchProgress = (peer: Peer, now: number): void => {
    const taken = peer.taken()
    const isWatched = peer.transport === 'sse' || peer.phase === 'replaying'
    const stuck = isWatched && peer.buffered() > 0 && taken <= peer.lastTaken
    peer.lastTaken = taken
    if (!stuck) peer.stuckSince = undefined
    else peer.stuckSince ??= now
    if (peer.stuckSince !== undefined && now - peer.stuckSince > timeoutMs) peer.cut()
  }

  /** A stream cannot prove what it has read; what it was handed an interval ago counts as read. */
  const trustStream = (peer: Peer): void => {
    if (peer.transport !== 'sse' || peer.epoch === '') return
    if (peer.lastPlace?.epoch === peer.epoch) receipts.proved(peer, peer.lastPlace)
    // What still waits here has not even left for the client.
    if (peer.buffered() === 0) peer.lastPlace = { epoch: peer.epoch, seq: peer.position }
  }

  const beat = (peer: Peer, now: number): void => {
    peer.nextBeatAt += heartbeatMs
    if (peer.nextBeatAt <= now) peer.nextBeatAt = now + heartbeatMs
    watchProgress(peer, now)
    if (peer.hasEnded()) return
    trustStream(peer)
    if (peer.greeted) tell(peer, HEARTBEAT)
    if (!peer.hasEnded()) peer.beat()
  }

  const watchToken = (peer: Peer): void => {
    const left = peer.principal.expiresAt - clock.now()
    if (left + leewayMs <= 0) {
      peer.close('tokenExpired')
      return
    }
    if (!peer.optedIn || !peer.greeted || peer.warnedOfExpiry || left > EXPIRY_NOTICE_MS) return
    peer.warnedOfExpiry = true
    tell(peer, tokenExpiring(Math.max(0, Math.ceil(left / 1000))))
  }

  const tick = (): void => {
    const now = clock.monotonic()
    const cleanup = now >= nextCleanupAt
    if (cleanup) nextCleanupAt = now + cleanupMs
    for (const peer of hub.connections()) {
      peer.unblock()
      if (cleanup && peer.transport === 'ws' && now - peer.seenAt > timeoutMs) peer.close('silent')
      else watchToken(peer)
      if (!peer.hasEnded() && now >= peer.nextBeatAt) beat(peer, now)
    }
  }

  const timer = setInterval(tick, TICK_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
