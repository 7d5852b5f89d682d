import { StoreAway } from '../errors.ts'
import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import { FairQueue } from '../lib/fair-queue.ts'
import { TimerWheel } from '../lib/timer-wheel.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import { redeliveredFrame } from '../notification/frame.ts'
import { type Topic, tenantOf, userTopic } from '../notification/topic.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Acks, Log } from '../store/store.ts'
import { Unacknowledged } from './unacknowledged.ts'

/** Sends again what is not acknowledged in time. The clock of a user runs only while a WebSocket of theirs is live. */
export interface Redeliveries extends Disposable {
  /** Entries were handed over just now: their time begins anew. */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  /** An entry, or all up to one, was acknowledged. */
  settled(owner: Topic, cursor: Cursor, andBefore?: boolean): void
  /** A connection begins: what it will not be replayed, and is not acknowledged, waits again. */
  resume(connection: Connection): void
  /** A connection has become live, or no longer is: the user's clock follows. */
  changed(connection: Connection): void
}

interface RedeliveryOptions {
  readonly hub: Hub
  readonly log: Pick<Log, 'read'>
  readonly acks: Pick<Acks, 'redeliver'>
  readonly clock: Clock
  readonly timeoutMs: number
  /** Deliveries of one entry, the first included. */
  readonly maxDeliveries: number
  /** After so long without a live WebSocket nothing of a log can be left; milliseconds. */
  readonly retentionMs: number
  readonly onRedelivered: (owner: Topic, taken: number, refused: number) => void
  readonly onFault: (error: unknown) => void
  /** Absent when traces are off. */
  readonly tracing?: Tracing | undefined
}

/** Bounds how late a redelivery is, beside the load of the machine. */
const TICK_MS = 100
/** Asked of the store in one turn of the event loop. */
const MAX_PER_TURN = 100
/** Asked of it and not yet answered. */
const MAX_ASKED = 1_000
/** How long a store that is away is left alone. */
const PAUSE_MS = 500
const PAGE = { entries: 1_000, bytes: 256 * 1024 }

const isLiveSocket = ({ transport, phase }: Connection): boolean => transport === 'ws' && phase === 'live'

export function createRedeliveries({
  hub,
  log,
  acks,
  clock,
  timeoutMs,
  maxDeliveries,
  retentionMs,
  onRedelivered,
  onFault,
  tracing,
}: RedeliveryOptions): Redeliveries {
  const users = new Map<Topic, Unacknowledged>()
  /** By when there is something to do, so that users who only wait cost nothing. */
  const wheel = new TimerWheel<Unacknowledged>(TICK_MS, clock.monotonic())
  const due = new FairQueue<Unacknowledged>()
  let asked = 0
  let isWorking = false
  /** The store was away: nothing is asked of it before; monotonic. */
  let pausedUntil = 0
  let isClosed = false

  const liveSockets = (owner: Topic): readonly Connection[] => {
    const { size } = hub.members(owner)
    return size === 0 ? [] : [...hub.members(owner)].filter(isLiveSocket)
  }

  const forget = (user: Unacknowledged): void => {
    wheel.delete(user)
    if (users.get(user.owner) === user) users.delete(user.owner)
  }

  const userOf = (owner: Topic, epoch: Epoch): Unacknowledged => {
    const known = users.get(owner)
    if (known?.epoch === epoch) return known
    if (known !== undefined) forget(known)
    const now = clock.monotonic()
    const user = new Unacknowledged(owner, epoch, now)
    user.run(liveSockets(owner).length > 0, now)
    users.set(owner, user)
    return user
  }

  const schedule = (user: Unacknowledged): void => {
    const at = user.wakesAt(retentionMs)
    if (at !== Number.POSITIVE_INFINITY) wheel.setBy(user, at)
  }

  const begin = (owner: Topic, epoch: Epoch, seqs: readonly number[]): void => {
    const user = userOf(owner, epoch)
    const now = clock.monotonic()
    for (const seq of seqs) user.begin(seq, now, timeoutMs)
    schedule(user)
  }

  const redeliver = async ({ owner, epoch }: Unacknowledged, seq: number): Promise<boolean> => {
    const cursor = { epoch, seq }
    const span = tracing?.start('redelivery')
    const found = await acks.redeliver(owner, cursor, maxDeliveries)
    if (found === undefined) return false
    span?.link(found.trace)
    const frame = redeliveredFrame(found.body, cursor, found.redelivered)
    let taken = 0
    let refused = 0
    for (const socket of liveSockets(owner)) {
      // A connection that has not come to this place gets the entry there.
      if (socket.epoch !== epoch || socket.position < seq) continue
      if (socket.write(frame) !== 'refused') taken++
      else {
        refused++
        socket.cut()
      }
    }
    onRedelivered(owner, taken, refused)
    span?.set({ 'ara.entries': 1, 'ara.delivered_to': taken })
    span?.end()
    return true
  }

  /** What an entry does next: `now` when the store is away, which must not cost it another timeout. */
  const tryRedeliver = async (user: Unacknowledged, seq: number): Promise<'ends' | 'waits' | 'now'> => {
    try {
      return (await redeliver(user, seq)) ? 'waits' : 'ends'
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
    // An acknowledgement that came meanwhile counts.
    if (next === 'waits' && user.has(seq)) user.begin(seq, clock.monotonic(), timeoutMs)
    attend(user)
  }

  /** Whatever comes next for the user: its turn, a time, or nothing any more. */
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

  /** A fault over one user costs no other one their turn; that user is redelivered to after the next connect. */
  const attend = (user: Unacknowledged): void => {
    try {
      visit(user)
    } catch (error) {
      onFault(error)
      forget(user)
    }
  }

  /** Some of what is due; the rest in later turns, when others have been served. */
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

  /** What a client says to have seen and has not acknowledged; the present node may never have handed it over. */
  const recall = async ({ principal: { tenant, user }, epoch, position }: Connection): Promise<void> => {
    const owner = userTopic(tenant, user)
    let after = 0
    while (after < position) {
      const page = await log.read(owner, after, PAGE, true)
      if (page.epoch !== epoch) return
      const known = users.get(owner)
      const seqs = page.entries.map(({ seq }) => seq).filter(seq => seq <= position)
      const unknown = known?.epoch === epoch ? seqs.filter(seq => !known.has(seq)) : seqs
      if (unknown.length > 0) begin(owner, epoch, unknown)
      if (page.entries.length === 0) return
      after = page.through
      await new Promise(setImmediate)
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
    changed: ({ transport, principal }) => {
      const user = users.get(userTopic(principal.tenant, principal.user))
      if (user === undefined || transport !== 'ws') return
      user.run(liveSockets(user.owner).length > 0, clock.monotonic())
      schedule(user)
    },
    [Symbol.dispose]: () => {
      isClosed = true
      clearInterval(timer)
    },
  }
}
