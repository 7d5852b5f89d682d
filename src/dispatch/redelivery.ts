import { StoreAway } from '../errors.ts'
import type { Connection } from '../hub/connection.ts'
import { FairQueue } from '../lib/collections/fair-queue.ts'
import { whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { TimerWheel } from '../lib/time/timer-wheel.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import { type Topic, tenantOf } from '../notification/topic.ts'
import type { UserLog } from '../store/store.ts'
import type { Reach } from './reach.ts'
import { createRedeliver, type RedeliverOptions } from './redeliver.ts'
import { Unacknowledged } from './unacknowledged.ts'
import { unsettledPages } from './unsettled.ts'

/** Redelivers entries that are not acknowledged in time. A user's clock runs only with a live WebSocket. */
export interface Redeliveries extends Disposable {
  /** Starts the time of entries that were just delivered. */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  /** Ends the waiting for an acknowledged entry, or for all up to it. */
  settled(owner: Topic, cursor: Cursor, andBefore?: boolean): void
  /** Call when a connection starts: unacknowledged entries before its position wait again. */
  resume(connection: Connection): void
  /** Call when a connection becomes live or stops being live: checks the user's clock. */
  changed(connection: Connection): void
}

interface RedeliveryOptions extends RedeliverOptions {
  readonly reach: Pick<Reach, 'redeliver' | 'hasLiveSocket'>
  readonly log: Pick<UserLog, 'read'>
  readonly clock: Clock
  readonly timeoutMs: number
  /** Retention of the log, milliseconds: a user away for longer has no entries left. */
  readonly retentionMs: number
  readonly onFault: (error: unknown) => void
}

/** Bounds the lateness of a redelivery. */
const TICK_MS = 100
/** Maximum entries that the store is asked about in one turn of the event loop. */
const MAX_PER_TURN = 100
/** Maximum entries with an unanswered question to the store. */
const MAX_ASKED = 1_000
/** Above this number, a user's entries that left the log are removed. */
const PRUNE_ABOVE = 1_000
/** Pause after an outage of the store. */
const PAUSE_MS = 500

export function createRedeliveries({
  reach,
  log,
  clock,
  timeoutMs,
  retentionMs,
  onFault,
  ...options
}: RedeliveryOptions): Redeliveries {
  const redeliver = createRedeliver({ reach, ...options })
  const users = new Map<Topic, Unacknowledged>()
  /** Users by their next due time: waiting costs nothing. */
  const wheel = new TimerWheel<Unacknowledged>(TICK_MS, clock.monotonic())
  const due = new FairQueue<Unacknowledged>()
  let asked = 0
  let isWorking = false
  /** No question to the store before this moment; monotonic. */
  let pausedUntil = 0
  let isClosed = false

  const forget = (user: Unacknowledged): void => {
    wheel.delete(user)
    if (users.get(user.owner) === user) users.delete(user.owner)
  }

  const userOf = (owner: Topic, epoch: Epoch): Unacknowledged => {
    const known = users.get(owner)
    if (known?.epoch === epoch) return known
    if (known !== undefined) forget(known)
    const now = clock.monotonic()
    const user = new Unacknowledged(owner, epoch, now, PRUNE_ABOVE)
    users.set(owner, user)
    check(user)
    return user
  }

  const schedule = (user: Unacknowledged): void => {
    const at = user.wakesAt(retentionMs)
    if (at !== Number.POSITIVE_INFINITY) wheel.setBy(user, at)
  }

  /** Starts or stops the user's clock. */
  const check = (user: Unacknowledged): void => {
    const checked = whenReady(reach.hasLiveSocket(user.owner), isLive => {
      user.run(isLive, clock.monotonic())
      if (users.get(user.owner) === user) schedule(user)
    })
    if (checked instanceof Promise) checked.catch(onFault)
  }

  const begin = (owner: Topic, epoch: Epoch, seqs: readonly number[]): void => {
    const user = userOf(owner, epoch)
    const now = clock.monotonic()
    for (const seq of seqs) user.begin(seq, now, timeoutMs)
    schedule(user)
    if (user.size > user.pruneAbove) void prune(user).catch(onFault)
  }

  /** Removes entries that left the log by overflow or ttl. */
  const prune = async (user: Unacknowledged): Promise<void> => {
    user.pruneAbove = Number.POSITIVE_INFINITY
    const left = new Set<number>()
    // The log may grow while it is read: newer entries stay.
    const { newest } = user
    try {
      for await (const { seqs, through } of unsettledPages(log, user.owner, user.epoch)) {
        for (const seq of seqs) left.add(seq)
        if (through >= newest) break
      }
      user.retain(seq => seq > newest || left.has(seq))
    } finally {
      user.pruneAbove = Math.max(PRUNE_ABOVE, 2 * user.size)
    }
  }

  /** Redelivers an entry. `now`: an outage of the store must not cost another timeout. */
  const tryRedeliver = async (
    user: Unacknowledged,
    seq: number,
  ): Promise<'ends' | 'waits' | 'now' | number> => {
    try {
      return await redeliver(user.owner, { epoch: user.epoch, seq })
    } catch (error) {
      onFault(error)
      if (!(error instanceof StoreAway)) return 'waits'
      pausedUntil = clock.monotonic() + PAUSE_MS
      return 'now'
    }
  }

  const ask = async (user: Unacknowledged, seq: number): Promise<void> => {
    const next = await tryRedeliver(user, seq)
    asked--
    user.answered(seq)
    if (next === 'ends') user.settle(seq)
    // An acknowledgement may have arrived meanwhile.
    if (user.has(seq) && next === 'waits') user.begin(seq, clock.monotonic(), timeoutMs)
    if (user.has(seq) && typeof next === 'number') user.begin(seq, clock.monotonic(), next)
    attend(user)
  }

  /** Queues a user with due entries. Schedules one with later entries, forgets one without entries. */
  const visit = (user: Unacknowledged): void => {
    if (user.isQueued || users.get(user.owner) !== user) return
    const now = clock.monotonic()
    const isDue = user.wakesAt(retentionMs) <= now
    if (user.size === 0 || (isDue && !user.runs)) forget(user)
    else if (!isDue) schedule(user)
    else {
      user.isQueued = true
      due.push(tenantOf(user.owner), user)
      work()
    }
  }

  /** Forgets a user whose visit throws, until the next connect. Other users are not affected. */
  const attend = (user: Unacknowledged): void => {
    try {
      visit(user)
    } catch (error) {
      onFault(error)
      forget(user)
    }
  }

  /** Redelivers one portion of the due entries; the rest follows in later turns. */
  const work = (): void => {
    if (isWorking || isClosed || due.size === 0 || asked >= MAX_ASKED) return
    isWorking = true
    setImmediate(() => {
      isWorking = false
      const now = clock.monotonic()
      if (now < pausedUntil) return
      for (let left = Math.min(MAX_PER_TURN, MAX_ASKED - asked); left > 0 && due.size > 0; ) {
        const user = due.shift()
        if (user === undefined) break
        user.isQueued = false
        const seqs = user.runs ? user.ask(now, left) : []
        left -= Math.max(1, seqs.length)
        asked += seqs.length
        for (const seq of seqs) void ask(user, seq)
        attend(user)
      }
      work()
    })
  }

  const tick = (): void => {
    for (const user of wheel.take(clock.monotonic())) attend(user)
    work()
  }

  /** Waits for unacknowledged entries before the position, which another node may have delivered. */
  const recall = async ({ owner, epoch, position }: Connection): Promise<void> => {
    for await (const { seqs, through } of unsettledPages(log, owner, epoch)) {
      const known = users.get(owner)
      const isUnknown = (seq: number): boolean => known?.epoch !== epoch || !known.has(seq)
      const unknown = seqs.filter(seq => seq <= position && isUnknown(seq))
      if (unknown.length > 0) begin(owner, epoch, unknown)
      if (through >= position) return
    }
  }

  const timer = setInterval(tick, TICK_MS)
  timer.unref()

  return {
    handed: begin,
    settled: (owner, { epoch, seq }, andBefore = false) => {
      const user = users.get(owner)
      if (user?.epoch !== epoch) return
      user.settle(seq)
      if (andBefore) user.settleBefore(seq)
    },
    resume: connection => {
      if (connection.transport === 'ws' && connection.position > 0) void recall(connection).catch(onFault)
    },
    changed: ({ transport, owner }) => {
      const user = users.get(owner)
      if (user !== undefined && transport === 'ws') check(user)
    },
    [Symbol.dispose]: () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}
