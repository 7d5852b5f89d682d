import { fault } from './connection-state.ts'
import { errorOf } from './error.ts'
import { createListeners } from './listeners.ts'
import { runtimeFor } from './runtime.ts'
import { createSession } from './session.ts'
import type { Client, ClientOptions, Fault, Gap } from './types.ts'

/** Adds a listener; a function added twice is called twice. Returns a function that removes it. */
function add<T = void>(listeners: Set<(value: T) => void>, listener: (value: T) => void): () => void {
  const entry = (value: T) => listener(value)
  listeners.add(entry)
  return () => void listeners.delete(entry)
}

/** Creates a client. Nothing connects before the first `on`, `subscribe`, `ready` or `for await`. */
export function createClient<Events extends object = Record<string, unknown>>(
  options: ClientOptions,
): Client<Events> {
  const runtime = runtimeFor(options)
  const { clock } = runtime
  /** Subscribed channels, each as often as it was subscribed. */
  const channels: string[] = []
  const watchers = new Set<() => void>()
  const gapListeners = new Set<(gap: Gap) => void>()
  const listeners = createListeners(() => session.changed())
  const emit = (gap?: Gap) => {
    for (const listener of gap ? gapListeners : watchers)
      try {
        listener(gap as Gap)
      } catch (error) {
        runtime.onError(error)
      }
  }
  const session = createSession(options, runtime, listeners, channels, emit)

  const ready: Client['ready'] = ({ timeout } = {}) => {
    session.changed()
    return new Promise((resolve, reject) => {
      const settle = (error?: Fault) => {
        leave()
        clock.clearTimeout(timer)
        if (error) reject(errorOf(error))
        else resolve()
      }
      const check = () => {
        const [{ state, error }, answered] = session.shown()
        if (state === 'closed') settle(error ?? fault('CLOSED'))
        else if (state === 'online' && channels.every(name => answered.includes(name))) settle()
      }
      const leave = add(watchers, check)
      const late = () => settle(fault('TIMEOUT'))
      const timer = timeout && clock.setTimeout(late, timeout)
      check()
    })
  }

  const close = () => session.close()

  return {
    get connection() {
      return session.shown()[0]
    },
    on: listeners.on as never,
    subscribe: (...wanted: unknown[]) => {
      const names = wanted.map(String)
      channels.push(...names)
      session.changed()
      return () => {
        for (const name of names.splice(0)) {
          channels.splice(channels.indexOf(name), 1)
          // It may be all that `ready` waits for.
          emit()
        }
        session.changed()
      }
    },
    ready,
    watch: listener => add(watchers, listener),
    onGap: listener => add(gapListeners, listener),
    close,
    [Symbol.dispose]: close,
    [Symbol.asyncIterator]: listeners.iterate as never,
  }
}
