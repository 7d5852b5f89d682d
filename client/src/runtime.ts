import type { ClientOptions, Clock } from './types.ts'

/** Parts of the runtime that the client uses; tests replace them. */
export type Runtime = Pick<ClientOptions, 'WebSocket'> &
  Required<Pick<ClientOptions, 'fetch' | 'clock' | 'random' | 'onError'>>

const systemClock: Clock = {
  now: Date.now,
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: timer => clearTimeout(timer as number),
}

/** Only windows and workers of browsers have an origin: Deno has a location, too. */
export const isBrowser = (): boolean => 'origin' in globalThis

/** Reports a fault of a handler. Outside browsers `reportError` would end the process. */
const report = (error: unknown): void => {
  if (isBrowser()) reportError(error)
  else console.error(error)
}

export const runtimeFor = (options: ClientOptions): Runtime => ({
  WebSocket: globalThis.WebSocket as Runtime['WebSocket'],
  fetch: (url, init) => fetch(url, init),
  clock: systemClock,
  random: Math.random,
  onError: report,
  ...options,
})

/** Events in the life of a page; absent outside browsers. */
interface Page extends Partial<EventTarget> {
  readonly document?: { readonly visibilityState: string }
}

/** Until the signal, calls `onWake` when the network is back or the page visible, and `onHide` when it is hidden. */
export function watchPage(onWake: () => void, onHide: () => void, signal: AbortSignal): void {
  const page: Page = globalThis
  const listen = (type: string, run: () => void) => page.addEventListener?.(type, run, { signal })
  listen('online', onWake)
  listen('visibilitychange', () => (page.document?.visibilityState === 'visible' ? onWake() : onHide()))
}
