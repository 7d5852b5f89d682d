import type { Delivered } from './connection-state.ts'
import { isBrowser } from './runtime.ts'
import type { ConnectionState } from './types.ts'

/** Requests of a tab to the leading tab, which has the connection. */
export interface Wants {
  readonly channels: readonly string[]
  /** Event types that have a handler. */
  readonly types: readonly string[]
  /** Number of this wish, as that of no other one. Missing from a tab that has no lock of its own. */
  readonly id: number
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
  /** From another tab: its name, what it wants, what it has handled. The leader answers with the same wants. */
  readonly tab?: number
  readonly wants?: Wants | undefined
  readonly handled?: string
}

/** Tells the other tabs. */
export type Tell = (message: TabMessage) => void

interface Locks {
  request(name: string, options: object, hold: () => unknown): Promise<unknown>
}

/**
 * Joins the tabs of this name, until the signal. One of them leads: the one that holds the lock, and another one when
 * it has gone. Undefined where each tab leads: outside browsers, and on pages without HTTPS.
 */
export function joinTabs(
  name: string,
  /** Name of this tab. */
  tab: number,
  signal: AbortSignal,
  /** Returns true for the first message of a tab that has a lock. Its last message has no `wants`. */
  onMessage: (message: TabMessage) => unknown,
  /** From now on this tab may send messages. */
  onJoin: () => void,
  onLead: () => void,
): Tell | undefined {
  const locks = isBrowser() && (navigator as { locks?: Locks }).locks
  if (!locks) return void onLead()
  const channel = new BroadcastChannel(name)
  const ended = new Promise(resolve => {
    signal.onabort = () => resolve(channel.close())
  })

  const request = (key: string, onLock: () => unknown) =>
    locks
      .request(key, { signal }, onLock)
      // Rejects at the signal, and in a frame that may not have locks.
      .catch(() => signal.aborted || onLead())

  /** Waits for a lock, and holds it until the signal. */
  const hold = (key: string, onLock: () => void) =>
    request(key, () => {
      onLock()
      return ended
    })

  channel.onmessage = ({ data }) => {
    // Every tab holds a lock of its own for as long as it lives.
    if (onMessage(data)) void request(name + data.tab, () => onMessage({ tab: data.tab }))
  }
  void hold(name + tab, onJoin)
  void hold(name, onLead)
  return message => {
    if (!signal.aborted) channel.postMessage(message)
  }
}
