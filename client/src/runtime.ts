import type { ClientOptions, Clock } from './types.ts'

/** Parts of the runtime that the client uses; tests replace them. */
export type Runtime = Pick<ClientOptions, 'WebSocket'> &
  Required<Pick<ClientOptions, 'fetch' | 'clock' | 'random' | 'onError'>>

const systemClock: Clock = {
  now: Date.now,
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: timer => clearTimeout(timer as number),
}

/** Only windows and workers have a location. */
export const isBrowser = (): boolean => 'location' in globalThis

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
  readonly document?: EventTarget & { readonly visibilityState: string }
}

/**
 * Calls `onWake` when the network is back or somebody looks at the page, `onHide` when nobody does, until the signal.
 */
export function watchPage(onWake: () => void, onHide: () => void, signal: AbortSignal): void {
  const page: Page = globalThis
  const { document } = page
  const onLook = () => (document?.visibilityState === 'visible' ? onWake() : onHide())
  page.addEventListener?.('online', onWake, { signal })
  document?.addEventListener('visibilitychange', onLook, { signal })
}
