import type { Connection } from '../hub/connection.ts'

/** Takes the error of the store, waits, and resolves true if another attempt makes sense. */
export type Retry = (error: unknown) => Promise<boolean>

/**
 * Repeats a store call until it succeeds: an outage delays a connection without ending it. A fault of our own code cuts
 * the connection: the client resumes on another. Undefined if the connection has ended.
 */
export type Persist = <T>(
  connection: Pick<Connection, 'hasEnded' | 'cut'>,
  attempt: () => Promise<T> | T,
) => Promise<T | undefined>

export const createPersist =
  (retry: Retry): Persist =>
  async (connection, attempt) => {
    while (!connection.hasEnded()) {
      try {
        return await attempt()
      } catch (error) {
        if (await retry(error)) continue
        if (!connection.hasEnded()) connection.cut()
        return undefined
      }
    }
    return undefined
  }
