import type { SocketMessage } from '../../src/protocol/server-messages.ts'
import { isAhead } from './cursor.ts'
import type { Gap } from './types.ts'

export type Frame = Extract<SocketMessage, { type: 'notification' }>
export type Greeting = Pick<Extract<SocketMessage, { type: 'connected' }>, 'cursor' | 'reason'>

type Failures = Promise<readonly PromiseRejectedResult[]>
/** Work on one notification. After the handlers the next one may start; loops read at their own pace. */
export type Handling = readonly [handled: Failures, read: Failures]

export interface InboxOptions {
  /** Resolves when there is somebody to handle notifications. */
  readonly attended: () => Promise<void> | undefined
  readonly handle: (frame: Frame) => Handling
  readonly acknowledge: (frame: Frame) => void
  readonly save: (cursor: string) => unknown
  readonly onGap: (gap: Gap) => void
  readonly onError: (error: unknown) => void
  /** There is no room for the next notification, or there is again. */
  readonly onFull: (isFull: boolean) => void
}

/** Hands each notification of one tab to its handlers: once, in order, and none left out. */
export interface Inbox {
  /** The cursor behind which a connection has to start. */
  readonly cursor: string
  /** Continues where an earlier run stopped. */
  resume(cursor: string): void
  /** Notes where the connection starts. */
  greet(greeting: Greeting): void
  push(frame: Frame): void
  close(): void
}

/** Notifications that wait for their handlers. The service keeps what comes after them. */
const MAX_WAITING = 1_000
/** Ids that are remembered: those that wait, and as many that are done. */
const MAX_KNOWN = 2 * MAX_WAITING

/** A redelivered notification carries an old place; one to a channel has none. */
const placeOf = ({ cursor, redelivered }: Frame): string | undefined => (redelivered ? undefined : cursor)

type Fate = 'waiting' | 'done' | 'failed'

export function createInbox(options: InboxOptions): Inbox {
  const { attended, handle, acknowledge, save, onGap, onError, onFull } = options
  const known = new Map<string, Fate>()
  const jobs: (() => unknown)[] = []
  let cursor = ''
  let isRunning = false
  let isFull = false
  let isClosed = false
  let settled: Promise<unknown> = Promise.resolve()

  const remember = (id: string, fate: Fate) => {
    known.delete(id)
    known.set(id, fate)
    const [oldest = id] = known.keys()
    if (known.size > MAX_KNOWN) known.delete(oldest)
  }

  /** Runs when everything before has settled. */
  const settleNext = (work: () => unknown) => {
    settled = settled.then(() => isClosed || work()).catch(onError)
  }

  const settle = async (handling: Handling, frame: Frame) => {
    const failures = (await Promise.all(handling)).flat()
    remember(frame.id, failures[0] ? 'failed' : 'done')
    // A loop that ended has no reason.
    for (const { reason } of failures) if (reason) onError(reason)
    const place = placeOf(frame)
    if (place) await save(place)
    if (!failures[0]) acknowledge(frame)
  }

  const setFull = (value: boolean) => {
    isFull = value
    onFull(value)
  }

  const run = async () => {
    isRunning = true
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      await attended()
      if (!isClosed) await job()
    }
    isRunning = false
    if (isFull) setFull(false)
  }

  const add = (job: () => unknown) => {
    jobs.push(job)
    if (!isRunning) void run()
  }

  /** Moves the place to where a connection starts, or behind a notification that needs no handling. */
  const move = (place: string) => {
    cursor = place
    add(() => settleNext(() => save(place)))
  }

  return {
    get cursor() {
      return cursor
    },
    resume: place => {
      cursor = place
    },
    greet: ({ cursor: place, reason }) => {
      if (reason) add(() => onGap({ reason }))
      if (place && isAhead(place, cursor)) move(place)
    },
    push: frame => {
      if (!isFull && jobs.length >= MAX_WAITING) setFull(true)
      const place = placeOf(frame)
      if (isFull || (place && !isAhead(place, cursor))) return
      const fate = known.get(frame.id)
      if (fate === 'done') acknowledge(frame)
      const isNew = !fate || (fate === 'failed' && frame.redelivered)
      // One that is known, though its place is new: the log has begun a new life.
      if (!isNew) return place && move(place)
      cursor = place ?? cursor
      remember(frame.id, 'waiting')
      add(async () => {
        const handling = handle(frame)
        settleNext(() => settle(handling, frame))
        await handling[0]
      })
    },
    close: () => {
      isClosed = true
    },
  }
}
