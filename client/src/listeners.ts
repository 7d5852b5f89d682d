import { fault } from './connection-state.ts'
import { errorOf } from './error.ts'
import type { Frame, Handling } from './inbox.ts'
import type { Fault, Notification } from './types.ts'

/** Notifications that one `for await` may be behind. */
const MAX_UNREAD = 1_000

/** Adds `is`, invisible for whatever copies or compares a notification. */
const noteOf = (frame: Frame): Notification =>
  Object.defineProperty(frame, 'is', { value: (type: string) => type === frame.event_type }) as never

/** Type of an event that stands for all. */
export const ALL = ''

type Handler = (note: Notification) => unknown
type End = (error?: Fault | undefined) => void

/** A handler, or one `for await`. */
type Listener = readonly [type: string, handler: Handler, end?: End]

/** One `for await`. */
interface Reader extends AsyncIterator<Notification> {
  /** Resolves when the loop has asked for the next one; rejects when it never reads this one. */
  readonly push: (note: Notification) => Promise<void>
  readonly end: End
}

export interface Listeners {
  on(type: string, handler: Handler): () => void
  iterate(): AsyncIterator<Notification>
  /** Resolves when there is a listener, or at `release`; true if there is one already. */
  attended(): unknown
  /** Another tab listens. */
  release(): void
  handle(frame: Frame): Handling
  /** Event types that have a handler. */
  eventTypes(): readonly string[]
  readonly end: End
}

type Unread = (readonly [Notification, read: () => void, miss: () => void])[]

/** A list for one `for await`, which ends with the loop. */
function createReader(unread: Unread, onEnd: () => number): Reader {
  let finish = () => {}
  let wake = () => {}
  let isEnded = false
  let failure: Fault | undefined

  const end = (error?: Fault) => {
    isEnded = true
    failure = error
    if (onEnd() || error) for (const [, , miss] of unread.splice(0)) miss()
    wake()
  }

  const next = async (): Promise<IteratorResult<Notification>> => {
    finish()
    while (!unread[0] && !isEnded)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    if (failure) throw errorOf(failure)
    const entry = isEnded ? undefined : unread.shift()
    if (!entry) return { done: true } as IteratorReturnResult<undefined>
    finish = entry[1]
    return { value: entry[0] }
  }

  return {
    push: note =>
      new Promise((read, miss) => {
        unread.push([note, read, miss])
        wake()
        if (unread.length > MAX_UNREAD) end(fault('SLOW_READER'))
      }),
    end,
    next,
    return: () => {
      end()
      return next()
    },
  }
}

const failuresOf = async (work: readonly Promise<unknown>[]): Promise<readonly PromiseRejectedResult[]> =>
  (await Promise.allSettled(work)).filter(result => result.status === 'rejected')

export function createListeners(onChange: () => void): Listeners {
  const listeners = new Set<Listener>()
  let arrive: (value?: unknown) => void = () => {}
  /** Left by a loop that broke off without other listeners: the next loop reads it. */
  let left: Unread = []

  const add = (...listener: Listener) => {
    listeners.add(listener)
    for (const [, , miss] of left.splice(0)) miss()
    arrive()
    onChange()
    return () => {
      if (listeners.delete(listener)) onChange()
    }
  }

  const handle = (note: Notification, wanted: string) =>
    failuresOf(
      [...listeners]
        .filter(([type]) => type === wanted)
        // An earlier listener may have removed it.
        .map(async listener => listeners.has(listener) && listener[1](note)),
    )

  return {
    on: (type, handler) => add(type, handler),
    iterate: () => {
      const unread = left.splice(0)
      const reader = createReader(unread, () => {
        leave()
        left = unread
        return listeners.size
      })
      const leave = add(ALL, reader.push, reader.end)
      return reader
    },
    attended: () => {
      return (
        listeners.size ||
        new Promise(resolve => {
          arrive = resolve
        })
      )
    },
    release: () => arrive(),
    handle: frame => {
      const note = noteOf(frame)
      return [handle(note, frame.event_type), handle(note, ALL)]
    },
    eventTypes: () => [...listeners].map(([type]) => type),
    end: error => {
      for (const [, , end] of listeners) end?.(error)
    },
  }
}
