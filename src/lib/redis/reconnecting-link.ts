import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../time/clock.ts'
import type { Breaker, BreakerState } from './breaker.ts'

/** Open connection that ends once. */
export interface LinkConnection {
  /** Resolves with the reason of the end. */
  readonly ended: Promise<Error>
  end(): void
}

/** Attempts to connect once. Settles within seconds, or at once on abort; calls `alive` on each sign of life. */
export type OpenLinkConnection = (options: {
  readonly signal: AbortSignal
  readonly alive: () => void
}) => Promise<LinkConnection>

export interface LinkState {
  readonly connected: boolean
  readonly breaker: BreakerState
  /** Consecutive failures so far. */
  readonly failures: number
  /** Attempts since the connection was lost. */
  readonly attempts: number
  /** Number of reconnections; the first connection does not count. */
  readonly reconnections: number
}

/** Events worth a log line; an attempt that fails like the previous one is not reported. */
export type LinkEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'lost' | 'failed'; readonly reason: string }
  | { readonly type: 'breaker'; readonly state: BreakerState }

interface LinkOptions {
  readonly open: OpenLinkConnection
  readonly breaker: Breaker
  /** Milliseconds to wait before attempt n. */
  readonly backoff: (n: number) => number
  /** Milliseconds after an attempt until a probe, even if no attempt is due. */
  readonly probeMs: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly onChange: (event: LinkEvent) => void
}

/** Keeps one connection open until disposed. */
export interface ReconnectingLink extends Disposable {
  readonly state: LinkState
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && error.message === '' ? String(error.code) : error.message
}

/** Connects at once; after a failure or loss it retries when back-off and breaker permit. */
export function keepLink({
  open,
  breaker,
  backoff,
  probeMs,
  clock,
  onChange,
}: LinkOptions): ReconnectingLink {
  const stopped = new AbortController()
  const { signal } = stopped
  let current: LinkConnection | undefined
  let wasUp = false
  /** Failed attempts and losses since the connection was last open. */
  let failed = 0
  let attempts = 0
  let reconnections = 0
  /** Moment of the last attempt or loss; probes count from here. */
  let triedAt = 0
  let lastReason: string | undefined
  let lastState: BreakerState = 'closed'

  const tellBreaker = (): void => {
    const { state } = breaker
    if (state === lastState) return
    lastState = state
    onChange({ type: 'breaker', state })
  }

  const succeed = (): void => {
    breaker.success()
    tellBreaker()
  }

  const tell = (type: 'lost' | 'failed', reason: string): void => {
    if (reason !== lastReason || type === 'lost') onChange({ type, reason })
    lastReason = reason
  }

  const fail = (type: 'lost' | 'failed', reason: string): void => {
    failed++
    tell(type, reason)
    breaker.failure()
    tellBreaker()
  }

  /** Returns the connection, or the reason of the failure. */
  const tryOpen = async (): Promise<LinkConnection | string> => {
    triedAt = clock.monotonic()
    try {
      return await open({ signal, alive: succeed })
    } catch (error) {
      return reasonOf(error)
    }
  }

  const sleep = (ms: number): Promise<void> => delay(Math.max(0, ms), undefined, { signal }).catch(() => {})

  /** Waits until an attempt is due. A failed probe does not count, but reports a new reason. */
  const wait = async (ms: number): Promise<LinkConnection | undefined> => {
    const dueAt = clock.monotonic() + ms
    while (clock.monotonic() < dueAt && !signal.aborted) {
      const probeAt = triedAt + probeMs
      await sleep(Math.min(dueAt, probeAt) - clock.monotonic())
      if (signal.aborted || clock.monotonic() < probeAt) continue
      const probed = await tryOpen()
      if (typeof probed !== 'string') {
        breaker.probed()
        return probed
      }
      if (!signal.aborted) tell('failed', probed)
    }
    return undefined
  }

  const next = async (): Promise<LinkConnection | undefined> => {
    while (!signal.aborted) {
      if (failed > 0) {
        const probed = await wait(Math.max(backoff(failed - 1), breaker.waitMs))
        if (probed !== undefined || signal.aborted) return probed
        attempts++
      }
      tellBreaker()
      const line = await tryOpen()
      if (typeof line !== 'string') return line
      if (!signal.aborted) fail('failed', line)
    }
    return undefined
  }

  /** Follows the connection until it is lost. */
  const live = async (line: LinkConnection): Promise<void> => {
    current = line
    failed = 0
    attempts = 0
    if (wasUp) reconnections++
    wasUp = true
    onChange({ type: 'connected' })
    tellBreaker()
    succeed()
    const reason = reasonOf(await line.ended)
    current = undefined
    triedAt = clock.monotonic()
    if (!signal.aborted) fail('lost', reason)
  }

  const run = async (): Promise<void> => {
    for (let line = await next(); line !== undefined; line = await next()) {
      if (signal.aborted) line.end()
      else await live(line)
    }
  }
  void run()

  return {
    get state() {
      const { state, failures } = breaker
      return { connected: current !== undefined, breaker: state, failures, attempts, reconnections }
    },
    [Symbol.dispose]: () => {
      stopped.abort()
      current?.end()
    },
  }
}
