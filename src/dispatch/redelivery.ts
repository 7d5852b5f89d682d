import type { Connection } from '../hub/connection.ts'
import type { Hub } from '../hub/hub.ts'
import type { Clock } from '../lib/clock.ts'
import type { Cursor, Epoch } from '../notification/cursor.ts'
import { redeliveredFrame } from '../notification/frame.ts'
import { type Topic, userTopic } from '../notification/topic.ts'
import type { Tracing } from '../observe/tracing.ts'
import type { Acks, Log } from '../store/store.ts'

/** Sends again what is not acknowledged in time. The clock of a user runs only while a WebSocket of theirs is live. */
export interface Redeliveries extends Disposable {
  /** Entries were handed over just now: their time begins anew. */
  handed(owner: Topic, epoch: Epoch, seqs: readonly number[]): void
  /** An entry, or all up to one, was acknowledged. */
  settled(owner: Topic, cursor: Cursor, andBefore?: boolean): void
  /** A connection begins: what it will not be replayed, and is not acknowledged, waits again. */
  resume(connection: Connection): void
  /** A connection has become live: the user's clock runs, if it is a WebSocket. */
  live(connection: Connection): void
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

/** The unacknowledged entries of one user, by when their time is up on the user's own clock. */
class Waiting {
  epoch: Epoch
  /** In the order of `dueAt`: each waits equally long, and one whose time begins anew is put last. */
  readonly dueAt = new Map<number, number>()
  #ranMs = 0
  /** Since when the clock runs, or stands still; monotonic. */
  #since: number
  #runs = false

  constructor(epoch: Epoch, now: number) {
    this.epoch = epoch
    this.#since = now
  }

  read(now: number): number {
    return this.#runs ? this.#ranMs + now - this.#since : this.#ranMs
  }

  /** How long it has stood still. */
  stillFor(now: number): number {
    return this.#runs ? 0 : now - this.#since
  }

  run(runs: boolean, now: number): void {
    if (runs === this.#runs) return
    this.#ranMs = this.read(now)
    this.#since = now
    this.#runs = runs
  }

  begin(seq: number, dueAt: number): void {
    this.dueAt.delete(seq)
    this.dueAt.set(seq, dueAt)
  }
}

const TICK_MS = 250
/** Asked of the store in one tick; the rest a tick later. */
const MAX_PER_TICK = 1_000
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
  const users = new Map<Topic, Waiting>()

  const liveSockets = (owner: Topic): readonly Connection[] => {
    const { size } = hub.members(owner)
    return size === 0 ? [] : [...hub.members(owner)].filter(isLiveSocket)
  }

  const waitingOf = (owner: Topic, epoch: Epoch): Waiting => {
    const now = clock.monotonic()
    const known = users.get(owner)
    const waiting = known?.epoch === epoch ? known : new Waiting(epoch, now)
    users.set(owner, waiting)
    waiting.run(liveSockets(owner).length > 0, now)
    return waiting
  }

  const begin = (owner: Topic, epoch: Epoch, seqs: readonly number[]): void => {
    const waiting = waitingOf(owner, epoch)
    const dueAt = waiting.read(clock.monotonic()) + timeoutMs
    for (const seq of seqs) waiting.begin(seq, dueAt)
  }

  const again = async (owner: Topic, cursor: Cursor): Promise<void> => {
    const span = tracing?.start('redelivery')
    const found = await acks.redeliver(owner, cursor, maxDeliveries)
    if (found === undefined) return
    span?.link(found.trace)
    const frame = redeliveredFrame(found.body, cursor, found.redelivered)
    let taken = 0
    let refused = 0
    for (const socket of liveSockets(owner)) {
      // Who has not come to it yet gets it in its place.
      if (socket.epoch !== cursor.epoch || socket.position < cursor.seq) continue
      if (socket.write(frame) !== 'refused') taken++
      else {
        refused++
        socket.cut()
      }
    }
    onRedelivered(owner, taken, refused)
    span?.set({ 'ara.entries': 1, 'ara.delivered_to': taken })
    span?.end()
    begin(owner, cursor.epoch, [cursor.seq])
  }

  /** The store is away: nothing is lost, it is tried again. */
  const tryAgain = (owner: Topic, cursor: Cursor): void =>
    void again(owner, cursor).catch(error => {
      onFault(error)
      begin(owner, cursor.epoch, [cursor.seq])
    })

  const redeliverDue = (owner: Topic, waiting: Waiting, most: number): number => {
    const now = waiting.read(clock.monotonic())
    let asked = 0
    for (const [seq, dueAt] of waiting.dueAt) {
      if (dueAt > now || asked === most) break
      asked++
      waiting.dueAt.delete(seq)
      tryAgain(owner, { epoch: waiting.epoch, seq })
    }
    return asked
  }

  const tick = (): void => {
    let left = MAX_PER_TICK
    const now = clock.monotonic()
    for (const [owner, waiting] of users) {
      const runs = liveSockets(owner).length > 0
      waiting.run(runs, now)
      if (runs) left -= redeliverDue(owner, waiting, left)
      if (waiting.dueAt.size === 0 || waiting.stillFor(now) > retentionMs) users.delete(owner)
    }
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
      const unknown = known?.epoch === epoch ? seqs.filter(seq => !known.dueAt.has(seq)) : seqs
      if (unknown.length > 0) begin(owner, epoch, unknown)
      if (page.entries.length === 0) return
      after = page.through
    }
  }

  const timer = setInterval(tick, TICK_MS)
  timer.unref()

  return {
    handed: begin,
    settled: (owner, { epoch, seq }, andBefore = false) => {
      const waiting = users.get(owner)
      if (waiting?.epoch !== epoch) return
      waiting.dueAt.delete(seq)
      if (andBefore) for (const each of waiting.dueAt.keys()) if (each < seq) waiting.dueAt.delete(each)
    },
    resume: connection => {
      if (connection.transport === 'ws' && connection.position > 0) void recall(connection).catch(onFault)
    },
    live: ({ transport, principal: { tenant, user } }) => {
      if (transport === 'ws') users.get(userTopic(tenant, user))?.run(true, clock.monotonic())
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
