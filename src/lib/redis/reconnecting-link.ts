import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../time/clock.ts'
import type { Breaker, BreakerState } from './breaker.ts'

/** A connection that is up, and will end once. */
export interface LinkConnection {
  /** Resolves with why it ended. */
  readonly ended: Promise<Error>
  end(): void
}

/** One try. Settles by itself within a few seconds, at once when the signal says so; `alive` is told of each sign of life. */
export type OpenLinkConnection = (options: {
  readonly signal: AbortSignal
  readonly alive: () => void
}) => Promise<LinkConnection>

export interface LinkState {
  readonly connected: boolean
  readonly breaker: BreakerState
  /** In a row, up to now. */
  readonly failures: number
  /** Tries since it was lost. */
  readonly attempts: number
  /** How often it came back; the first time does not count. */
  readonly reconnections: number
}

/** What is worth a line. Tries that fail like the one before are not. */
export type LinkEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'lost' | 'failed'; readonly reason: string }
  | { readonly type: 'breaker'; readonly state: BreakerState }

interface LinkOptions {
  readonly open: OpenLinkConnection
  readonly breaker: Breaker
  /** Milliseconds to wait before try n. */
  readonly backoff: (n: number) => number
  /** How long after a try it is looked whether it works again, though no try is due. */
  readonly probeMs: number
  readonly clock: Pick<Clock, 'monotonic'>
  readonly onChange: (event: LinkEvent) => void
}

/** Keeps one connection up until it is disposed of. */
export interface ReconnectingLink extends Disposable {
  readonly state: LinkState
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && error.message === '' ? String(error.code) : error.message
}

/** Tries at once and, whenever that fails or the connection is lost, again: after the back-off, when the breaker allows it. */
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
  /** Tries and losses since it was last up. */
  let failed = 0
  let attempts = 0
  let reconnections = 0
  /** When it was last tried, or was lost: probes count from here. */
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

  const fail = (type: 'lost' | 'failed', reason: string): void => {
    failed++
    if (reason !== lastReason || type === 'lost') onChange({ type, reason })
    lastReason = reason
    breaker.failure()
    tellBreaker()
  }

  /** The line, or why there is none. */
  const tryOpen = async (): Promise<LinkConnection | string> => {
    triedAt = clock.monotonic()
    try {
      return await open({ signal, alive: succeed })
    } catch (error) {
      return reasonOf(error)
    }
  }

  const sleep = (ms: number): Promise<void> => delay(Math.max(0, ms), undefined, { signal }).catch(() => {})

  /** Until a try is due. A probe that succeeds in the meantime has made the connection; one that fails is no failure. */
  const wait = async (ms: number): Promise<LinkConnection | undefined> => {
    const dueAt = clock.monotonic() + ms
    while (clock.monotonic() < dueAt && !signal.aborted) {
      const probeAt = triedAt + probeMs
      await sleep(Math.min(dueAt, probeAt) - clock.monotonic())
      if (signal.aborted || clock.monotonic() < probeAt) continue
      const probed = await tryOpen()
      if (typeof probed === 'string') continue
      breaker.probed()
      return probed
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

  /** From up to lost. */
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
