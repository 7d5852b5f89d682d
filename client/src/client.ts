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
  const session = createSession(options, runtime, {
    listeners,
    channels,
    onGap: gap => {
      for (const listener of gapListeners) listener(gap)
    },
    onChange: () => {
      for (const listener of watchers) listener()
    },
  })

  const ready = (timeout: number | undefined) =>
    new Promise<void>((resolve, reject) => {
      const settle = (error?: Fault) => {
        leave()
        clock.clearTimeout(timer)
        if (error) reject(errorOf(error))
        else resolve()
      }
      const check = () => {
        const [{ state, error }, answered] = session.view
        if (state === 'closed') settle(error ?? fault('CLOSED', 'closed'))
        else if (state === 'online' && channels.every(name => answered.includes(name))) settle()
      }
      const leave = add(watchers, check)
      const late = () => settle(fault('TIMEOUT', 'not online'))
      const timer = timeout && clock.setTimeout(late, timeout)
      check()
    })

  return {
    get connection() {
      return session.view[0]
    },
    on: (type, handler) => {
      session.start()
      return listeners.on(type, handler as never)
    },
    subscribe: (...names) => {
      session.start()
      channels.push(...names)
      session.changed()
      const mine = [...names]
      return () => {
        for (const name of mine.splice(0)) channels.splice(channels.indexOf(name), 1)
        session.changed()
      }
    },
    ready: ({ timeout } = {}) => {
      session.start()
      return ready(timeout)
    },
    watch: listener => add(watchers, listener),
    onGap: listener => add(gapListeners, listener),
    close: () => session.close(),
    [Symbol.dispose]: () => session.close(),
    [Symbol.asyncIterator]: () => {
      session.start()
      return listeners.read() as never
    },
  }
}
