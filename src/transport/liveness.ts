import type { Hub } from '../hub/hub.ts'
import type { SendBuffers } from '../hub/send-buffers.ts'
import type { Clock } from '../lib/time/clock.ts'
import type { OnFault } from '../observe/fault.ts'
import { HEARTBEAT, tokenExpiring } from './outbound.ts'
import { MAX_PING_MS, type Peer, tell } from './peer.ts'
import type { Sessions } from './session.ts'
import type { StreamWatch } from './stream-watch.ts'

interface LivenessOptions {
  readonly hub: Hub<Peer>
  readonly buffers: Pick<SendBuffers, 'measure'>
  readonly streams: StreamWatch
  readonly end: Sessions['ended']
  readonly clock: Clock
  readonly leewaySeconds: number
  readonly heartbeatSeconds: number
  readonly timeoutSeconds: number
  readonly cleanupSeconds: number
  readonly onFault: OnFault
}

/** Interval of the checks: heartbeats, token expiry and silence are at most this late. */
const TICK_MS = 250
const EXPIRY_NOTICE_MS = 25_000

/** Runs heartbeats, silence checks and token expiry by one timer for all connections. Dispose to stop. */
export function keepAlive({
  hub,
  buffers,
  streams,
  end,
  clock,
  onFault,
  ...seconds
}: LivenessOptions): Disposable {
  const heartbeatMs = seconds.heartbeatSeconds * 1000
  const timeoutMs = seconds.timeoutSeconds * 1000
  const leewayMs = seconds.leewaySeconds * 1000
  const cleanupMs = seconds.cleanupSeconds * 1000
  let nextCleanupAt = clock.monotonic() + cleanupMs

  /** Cuts a stream or a replay whose client takes nothing. A live WebSocket that does not read times out as silent. */
  const watchProgress = (peer: Peer, now: number): void => {
    const taken = peer.taken()
    const isWatched = peer.transport === 'sse' || peer.phase === 'replaying'
    const stuck = isWatched && peer.buffered() > 0 && taken <= peer.lastTaken
    peer.lastTaken = taken
    if (!stuck) peer.stuckSince = undefined
    else peer.stuckSince ??= now
    if (peer.stuckSince !== undefined && now - peer.stuckSince > timeoutMs) peer.cut()
  }

  const beat = (peer: Peer, now: number): void => {
    peer.nextBeatAt += heartbeatMs
    if (peer.nextBeatAt <= now) peer.nextBeatAt = now + heartbeatMs
    peer.nextPingAt = now + MAX_PING_MS
    watchProgress(peer, now)
    if (peer.hasEnded()) return
    const show = (): void => {
      if (peer.greeted) tell(peer, HEARTBEAT)
      if (!peer.hasEnded()) peer.beat()
    }
    // Both in one packet. A client that is behind may refuse the message, which a batch cannot tell.
    if (peer.buffered() === 0) peer.batch(show)
    else show()
  }

  /** Pings between heartbeats that are far apart. */
  const ping = (peer: Peer, now: number): void => {
    peer.nextPingAt = now + MAX_PING_MS
    peer.ping()
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

  const watch = (
    peer: Peer,
    now: number,
    { cleanup, mayBeat }: { readonly cleanup: boolean; readonly mayBeat: boolean },
  ): void => {
    peer.unblock()
    peer.unaskedFrames = 0
    if (cleanup && peer.transport === 'ws' && now - peer.seenAt > timeoutMs) peer.close('silent')
    else watchToken(peer)
    if (peer.hasEnded() || !mayBeat) return
    if (now >= peer.nextBeatAt) beat(peer, now)
    else if (now >= peer.nextPingAt) ping(peer, now)
  }

  /** Ends a connection whose check failed: it would fail again at each tick. */
  const giveUp = (peer: Peer): void => {
    try {
      end(peer, { code: peer.transport === 'ws' ? 1006 : 'sse' })
      peer.cut()
    } catch (error) {
      onFault(error)
    }
  }

  /** True: this tick reads the send queues of streams. */
  const lookAtAll = (now: number): boolean => {
    try {
      buffers.measure()
      return streams.tick(now)
    } catch (error) {
      onFault(error)
      return false
    }
  }

  const tick = (): void => {
    const now = clock.monotonic()
    const cleanup = now >= nextCleanupAt
    if (cleanup) nextCleanupAt = now + cleanupMs
    // Delays heartbeats of streams: bytes written in this turn would read as unacknowledged.
    const readsQueues = lookAtAll(now)
    for (const peer of hub.connections()) {
      try {
        watch(peer, now, { cleanup, mayBeat: !(readsQueues && peer.transport === 'sse') })
      } catch (error) {
        onFault(error)
        giveUp(peer)
      }
    }
  }

  const timer = setInterval(tick, TICK_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
