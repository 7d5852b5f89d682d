import type { SocketMessage } from '../../src/protocol/server-messages.ts'
import { isAhead } from './cursor.ts'
import type { Gap } from './types.ts'

export type Frame = Extract<SocketMessage, { type: 'notification' }>
/** Where a connection starts, or an earlier run stopped. */
export interface Greeting {
  readonly type?: 'connected'
  readonly cursor: string | null | undefined
  readonly reason?: Gap['reason'] | undefined
}

type Failures = Promise<readonly PromiseRejectedResult[]>
/** Work on one notification. After the handlers the next one may start; loops read at their own pace. */
export type Handling = readonly [handled: Failures, read: Failures]

/** Hands each notification of one tab to its handlers: once, in order, and none left out. */
export interface Inbox {
  /** The cursor behind which a connection has to start. */
  readonly cursor: string
  greet(greeting: Greeting): void
  push(frame: Frame): void
}

/** Notifications that wait for their handlers. The service keeps what comes after them. */
const MAX_WAITING = 1_000
/** Ids that are remembered: those that wait, and as many that are done. */
const MAX_KNOWN = 2 * MAX_WAITING

/** A redelivered notification carries an old place; one to a channel has none. */
const placeOf = ({ cursor, redelivered }: Frame): string | undefined => (redelivered ? undefined : cursor)

export type Fate = 'waiting' | 'done' | 'failed'

export function createInbox(
  /** Ends all work. */
  signal: AbortSignal,
  /** Resolves when there is a handler for notifications. */
  attended: () => unknown,
  handle: (frame: Frame) => Handling,
  save: (cursor: string) => unknown,
  acknowledge: (frame: Frame) => void,
  /** There is no room for the next notification, or there is again. */
  onFull: (isFull: boolean) => void,
  onGap: (gap: Gap) => void,
  onError: (error: unknown) => void,
): Inbox {
  const known = new Map<string, Fate>()
  let cursor = ''
  /** Jobs that wait or run. */
  let jobs = 0
  let isFull = false

  const remember = (id: string, fate: Fate) => {
    known.delete(id)
    known.set(id, fate)
    const [oldest = id] = known.keys()
    if (known.size > MAX_KNOWN) known.delete(oldest)
  }

  /** Makes a queue, whose works run one after the other until the signal. */
  const createQueue = () => {
    let last: Promise<unknown> = Promise.resolve()
    return (work: () => unknown) => {
      last = last.then(() => signal.aborted || work()).catch(onError)
      return last
    }
  }
  const handleNext = createQueue()
  const settleNext = createQueue()

  const settle = async (handling: Handling, frame: Frame) => {
    const failures = (await Promise.all(handling)).flat()
    remember(frame.id, failures[0] ? 'failed' : 'done')
    // A loop that ended has no reason.
    for (const { reason } of failures) if (reason) onError(reason)
    const place = placeOf(frame)
    if (!failures[0]) acknowledge(frame)
    if (place) await save(place)
  }

  const setFull = (value: boolean) => {
    isFull = value
    onFull(value)
  }

  const add = async (job: () => unknown) => {
    jobs++
    void handleNext(attended)
    await handleNext(job)
    if (!--jobs && isFull) setFull(false)
  }

  /** Moves the place to where a connection starts, or behind a notification that needs no handling. */
  const move = (place: string) => {
    cursor = place
    void add(() => void settleNext(() => save(place)))
  }

  return {
    get cursor() {
      return cursor
    },
    greet: ({ cursor: place, reason }) => {
      if (reason) void add(() => onGap({ reason }))
      if (place && isAhead(place, cursor)) move(place)
    },
    push: frame => {
      if (!isFull && jobs >= MAX_WAITING) setFull(true)
      const place = placeOf(frame)
      if (isFull || (place && !isAhead(place, cursor))) return
      const fate = known.get(frame.id)
      if (fate === 'done') acknowledge(frame)
      const isNew = !fate || (fate === 'failed' && frame.redelivered)
      // One that is known, though its place is new: the log has begun a new life.
      if (!isNew) return place && move(place)
      cursor = place ?? cursor
      remember(frame.id, 'waiting')
      void add(async () => {
        const handling = handle(frame)
        void settleNext(() => settle(handling, frame))
        await handling[0]
      })
    },
  }
}
