import { errorOf } from './error.ts'
import type { Frame, Handling } from './inbox.ts'
import type { Fault, Notification } from './types.ts'

/** Notifications that one `for await` may be behind. */
const MAX_UNREAD = 1_000

/** Adds `is`, invisible for whatever copies or compares a notification. */
const noteOf = (frame: Frame): Notification =>
  Object.defineProperty(frame, 'is', { value: (type: string) => type === frame.event_type }) as never

type Handler = (note: Notification) => unknown

/** One `for await`. */
interface Reader {
  /** Resolves when the loop has asked for the next one; rejects when it never reads this one. */
  push(note: Notification): Promise<void>
  end(error?: Fault): void
}

export interface Listeners {
  on(type: string, handler: Handler): () => void
  read(): AsyncIterator<Notification>
  /** Resolves when there is a listener, or at `release`; undefined if there is one already. */
  attended(): Promise<void> | undefined
  /** Another tab listens. */
  release(): void
  handle(frame: Frame): Handling
  /** Event types that have a handler, `*` for all. */
  types(): readonly string[]
  end(error?: Fault): void
}

const DONE: IteratorResult<Notification> = { value: undefined, done: true }

/** A list for one `for await`, which ends with the loop. */
function createReader(onEnd: () => void): Reader & AsyncIterator<Notification> {
  const unread: (readonly [Notification, read: () => void, miss: () => void])[] = []
  let finish = () => {}
  let wake = () => {}
  let isEnded = false
  let failure: Fault | undefined

  const end = (error?: Fault) => {
    isEnded = true
    failure = error
    for (const [, , miss] of unread.splice(0)) miss()
    wake()
    onEnd()
  }

  return {
    push: note =>
      new Promise((read, miss) => {
        unread.push([note, read, miss])
        wake()
        if (unread.length > MAX_UNREAD) end({ code: 'SLOW_READER', message: 'too slow' })
      }),
    end,
    next: async () => {
      finish()
      while (!unread[0] && !isEnded)
        await new Promise<void>(resolve => {
          wake = resolve
        })
      const entry = unread.shift()
      if (failure) throw errorOf(failure)
      if (!entry) return DONE
      finish = entry[1]
      return { value: entry[0] }
    },
    return: async () => {
      finish()
      end()
      return DONE
    },
  }
}

const failuresOf = async (work: readonly Promise<unknown>[]): Promise<readonly PromiseRejectedResult[]> =>
  (await Promise.allSettled(work)).filter(result => result.status === 'rejected')

export function createListeners(onChange: () => void): Listeners {
  const handlers = new Set<readonly [type: string, Handler]>()
  const readers = new Set<Reader>()
  let arrive = () => {}

  const added = <T>(set: Set<T>, item: T) => {
    set.add(item)
    arrive()
    onChange()
    return () => {
      if (set.delete(item)) onChange()
    }
  }

  return {
    on: (type, handler) => added(handlers, [type, handler]),
    read: () => {
      const reader = createReader(() => leave())
      const leave = added<Reader>(readers, reader)
      return reader
    },
    attended: () => {
      if (handlers.size + readers.size > 0) return undefined
      return new Promise(resolve => {
        arrive = resolve
      })
    },
    release: () => arrive(),
    handle: frame => {
      const note = noteOf(frame)
      const started = [...handlers].filter(([type]) => type === frame.event_type)
      return [
        failuresOf(started.map(async ([, handler]) => handler(note))),
        failuresOf([...readers].map(reader => reader.push(note))),
      ]
    },
    types: () => [...handlers].map(([type]) => type).concat(readers.size > 0 ? '*' : []),
    end: error => {
      for (const reader of readers) reader.end(error)
    },
  }
}
