import type { Delivered } from './connection-state.ts'
import { isBrowser } from './runtime.ts'
import type { ConnectionState } from './types.ts'

/** Requests of a tab to the leading tab, which has the connection. */
export interface Wants {
  readonly channels: readonly string[]
  /** Event types that have a handler. */
  readonly types: readonly string[]
}

/** State of a connection for a page, with the answered channels. */
export type View = readonly [ConnectionState, answered: readonly string[]]

/** Message between tabs. */
export interface TabMessage {
  /** From the leader: what it shows, what it received. */
  readonly view?: View
  readonly message?: Delivered
  /** A new leader asks what the others want. */
  readonly who?: true
  /** From another tab: its name, what it wants, what it has handled. */
  readonly tab?: string
  readonly wants?: Wants
  readonly handled?: string
}

/** Tells the other tabs. */
export type Tell = (message: TabMessage) => void

interface Locks {
  request(name: string, options: object, hold: (lock: unknown) => unknown): Promise<void>
}

/**
 * Joins the tabs of this name, until the signal. One of them leads: the one that holds the lock, and another one when
 * it has gone. Undefined where tabs do not know of each other: outside browsers, and on pages without HTTPS.
 */
export function joinTabs(
  name: string,
  signal: AbortSignal,
  onMessage: (message: TabMessage) => void,
  onRole: (isLeader: boolean) => void,
): Tell | undefined {
  const { locks } = (isBrowser() ? navigator : {}) as { locks?: Locks }
  if (!locks) return undefined
  const channel = new BroadcastChannel(name)
  channel.onmessage = ({ data }) => onMessage(data)

  /** Holds the lock until the signal. */
  const lead = () => {
    onRole(true)
    return new Promise(resolve => signal.addEventListener('abort', resolve))
  }

  const join = async () => {
    await locks.request(name, { ifAvailable: true }, lock => (lock ? lead() : onRole(false)))
    await locks.request(name, { signal }, lead)
  }

  // Rejects at the signal, and in a frame that may not have locks.
  join().catch(() => {
    if (signal.aborted) channel.close()
    else onRole(true)
  })
  return message => {
    if (!signal.aborted) channel.postMessage(message)
  }
}
