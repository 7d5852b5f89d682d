import { StoreAway } from '../../errors.ts'
import type { SteadyClock } from '../../lib/time/steady-clock.ts'
import type { StoreObserver } from '../store.ts'
import {
  type BatchResult,
  type Call,
  type ObserverCall,
  takeBatch,
  type Verb,
  type WorkerSetup,
  type Writer,
  weightOf,
} from './batch.ts'
import { createDeadline, TICK_MS, WAIT_TICKS } from './deadline.ts'
import { createNotes } from './notes.ts'
import { PendingBatch, type PendingCall } from './pending-batch.ts'
import { startThread } from './thread.ts'

/** Sends all writes to another thread, in batches. Calls that arrive during a commit go into the next one. */
export interface Commits {
  /** Resolves after the commit. Rejects when it failed or, within a second, when the outcome is unknown. */
  call<V extends Verb>(verb: V, ...given: Parameters<Writer[V]>): Promise<ReturnType<Writer[V]>>
  /** Goes into the next commit, or soon into one of its own. */
  note<V extends Verb>(verb: V, ...given: Parameters<Writer[V]>): void
  isUp(): boolean
  /** Resolves when all pending calls are written or have timed out. */
  close(): Promise<void>
}

interface CommitsOptions {
  readonly setup: Omit<WorkerSetup, 'type' | 'givenUp' | 'work'>
  readonly clock: SteadyClock
  readonly observer: StoreObserver
  /** How long notes may wait for other writes, milliseconds. */
  readonly noteMs: number
  /** Called with each new reason why nothing can be written. */
  readonly onAway: (reason: string) => void
  /** Called with a fault of our own code that no caller waits for. */
  readonly onFault: (error: unknown) => void
}

/** In ticks, like HEARTBEAT_EVERY. */
const PROBE_EVERY = 5
/** Probes an idle store, so that an outage is noticed without writes. */
const HEARTBEAT_EVERY = 15
/** Bytes that must fit before a store that was full counts as up again. */
const PROBE_BYTES = 256 * 1024
/** Entries per batch. */
const MAX_CALLS = 2_000
const MAX_WAITING = 50_000
/** Consecutive failures of batches with notes, while probes in between succeeded. */
const MAX_FAILURES = 5

const away = (): StoreAway => new StoreAway('the store is away')

export function startCommits({ setup, clock, observer, noteMs, onAway, onFault }: CommitsOptions): Commits {
  const givenUp = new SharedArrayBuffer(8)
  const givenUpThrough = new BigInt64Array(givenUp)
  const work = new SharedArrayBuffer(8)
  const deadline = createDeadline(new BigInt64Array(work))
  const isOverdue = ({ tick }: PendingCall): boolean => deadline.isOverdue(tick)
  let waiting: PendingCall[] = []
  const notes = createNotes()
  let failures = 0
  let pending: PendingBatch | undefined
  let next = 1
  let repliedAt = 0
  let isUp = true
  let awayFor: string | undefined
  let isClosing = false
  let isScheduled = false
  let noteTimer: NodeJS.Timeout | undefined
  let onIdle = (): void => {}

  /** Fails the batch under way: it met a fault of our own code, and a retry would meet it again. */
  const refuse = (fault: unknown): void => {
    const refused = pending
    pending = undefined
    if (refused?.reject(fault) !== true) onFault(fault)
  }

  const post = (calls: readonly PendingCall[], noted: readonly Call[]): void => {
    const first = next
    pending = new PendingBatch(first, noted, calls)
    next += calls.length
    try {
      thread.send({
        type: 'batch',
        now: clock.now(),
        jumped: clock.jumped,
        notes: noted,
        first,
        calls: calls.map(({ call }) => call),
      })
    } catch (error) {
      refuse(error)
      schedule()
    }
  }

  const postWaiting = (): void => {
    isScheduled = false
    if (pending !== undefined) return
    if (!isUp || (waiting.length === 0 && notes.isEmpty)) {
      onIdle()
      return
    }
    clearTimeout(noteTimer)
    noteTimer = undefined
    post(
      takeBatch(waiting, ({ call }) => weightOf(call), MAX_CALLS),
      notes.take(),
    )
  }

  /** Sends at the end of this turn, so that its calls go together. */
  const schedule = (): void => {
    if (isScheduled || pending !== undefined) return
    isScheduled = true
    setImmediate(postWaiting)
  }

  const tell = ([what, ...given]: ObserverCall): void => {
    try {
      // The event's name decides the types of its arguments. `ObserverCall` ensures it; the compiler cannot follow.
      ;(observer[what] as (...given: readonly unknown[]) => void)(...given)
    } catch (error) {
      onFault(error)
    }
  }

  const goDown = (): void => {
    isUp = false
    const all = waiting
    waiting = []
    for (const { reject } of all) reject(away())
  }

  /** A call may have been committed after it timed out, or before the thread ended. */
  const comeUp = (): void => {
    if (isUp) return
    isUp = true
    awayFor = undefined
    tell(['resumed'])
  }

  const fail = (reason: string): void => {
    const failed = pending
    pending = undefined
    goDown()
    if (reason !== awayFor) onAway(reason)
    awayFor = reason
    if (failed === undefined) return
    failed.reject(new StoreAway(reason))
    // Keeps the notes of a failed batch, unless the notes themselves seem to fail.
    if (failed.notes.length === 0 || ++failures > MAX_FAILURES) return
    notes.putBack(failed.notes)
  }

  const succeed = (reply: BatchResult): void => {
    const done = pending
    pending = undefined
    repliedAt = deadline.now
    for (const each of reply.observerCalls) tell(each)
    comeUp()
    if (done === undefined) return
    if (done.notes.length > 0) failures = 0
    for (const fault of done.answer(reply)) onFault(fault)
  }

  const thread = startThread({
    setup: { type: 'open', ...setup, givenUp, work },
    onReply: reply => {
      if (reply.type === 'done') succeed(reply)
      else if ('fault' in reply) refuse(reply.fault)
      else fail(reply.reason)
      postWaiting()
    },
    onFault,
    onEnded: () => {
      fail('the writer thread has ended')
      postWaiting()
    },
  })

  /** Rejects callers whose time is up, and tells the writer not to commit their calls. */
  const giveUpOverdue = (): void => {
    if (pending !== undefined) {
      const late = new StoreAway('the store took too long')
      const { through, isNew } = pending.giveUp(isOverdue, late)
      Atomics.store(givenUpThrough, 0, BigInt(through))
      if (isNew) goDown()
    }
    if (waiting.some(isOverdue)) goDown()
  }

  const probe = (bytes: number): void => {
    const ignore = () => {}
    post([{ call: ['probe', bytes], resolve: ignore, reject: ignore, tick: deadline.now }], [])
  }

  const onTick = (): void => {
    deadline.tick()
    giveUpOverdue()
    if (pending !== undefined || isClosing) return
    if (isUp && deadline.now - repliedAt >= HEARTBEAT_EVERY) probe(0)
    if (isUp || deadline.now % PROBE_EVERY !== 0) return
    if (thread.isThere()) probe(PROBE_BYTES)
    else thread.restart()
  }

  const ticks = setInterval(onTick, TICK_MS)
  ticks.unref()

  return {
    isUp: () => isUp,
    call: (verb, ...given) => {
      if (!isUp || isClosing || waiting.length >= MAX_WAITING) return Promise.reject(away())
      return new Promise((resolve, reject) => {
        // `verb` and `given` match, and the answers arrive in the order of the calls.
        const call = [verb, ...given] as unknown as Call
        waiting.push({ call, resolve: resolve as PendingCall['resolve'], reject, tick: deadline.now })
        schedule()
      })
    },
    note: (verb, ...given) => {
      if (!isClosing && notes.add([verb, ...given] as unknown as Call))
        noteTimer ??= setTimeout(schedule, noteMs)
    },
    close: async () => {
      isClosing = true
      clearTimeout(noteTimer)
      const idle = new Promise<void>(resolve => {
        onIdle = resolve
      })
      schedule()
      // Each call is answered or times out. The outcome of a batch still under way stays unknown.
      await Promise.race([idle, Bun.sleep((WAIT_TICKS + 1) * TICK_MS)])
      clearInterval(ticks)
      await thread.close()
    },
  }
}
