import { createClient } from '../../client/src/index.ts'
import type { Client, ClientOptions, Clock, ConnectionState } from '../../client/src/types.ts'
import { createInbox, type Inbox } from './inbox.ts'

interface Events {
  e: unknown
}

export interface Follower extends Disposable {
  readonly client: Client<Events>
  /** Payloads in the order in which the application sees them. */
  readonly got: Inbox<unknown>
  readonly gaps: readonly string[]
  /** Every snapshot of the connection. */
  readonly states: Inbox<ConnectionState>
}

/** Follows as one user of `service`, and notes what the application sees. */
export function follow(options: ClientOptions): Follower {
  const client = createClient<Events>(options)
  const got = createInbox<unknown>()
  const states = createInbox<ConnectionState>()
  const gaps: string[] = []
  client.watch(() => states.push(client.connection))
  client.onGap(({ reason }) => gaps.push(reason))
  client.on('e', ({ payload }) => got.push(payload))
  return { client, got, gaps, states, [Symbol.dispose]: () => client.close() }
}

/** A store that a test can look into. */
export function memoryCursor(cursor = '') {
  const store = {
    cursor,
    load: () => store.cursor,
    save: (next: string) => {
      store.cursor = next
    },
  }
  return store
}

/** A clock whose timers take other times. */
export const clockWith = (timeOf: (ms: number) => number): Clock => ({
  now: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, timeOf(ms)),
  clearTimeout: timer => clearTimeout(timer as Timer),
})

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)
