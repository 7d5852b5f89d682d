import type { Connection } from '../hub/connection.ts'

/** Called with why the store did not answer: waits, and is true when another try makes sense. */
export type Retry = (error: unknown) => Promise<boolean>

/**
 * Asks the store until it answers: an outage delays a connection, it does not end it. After a fault of our own code another
 * try would fail too, so the connection is cut and the client resumes on a new one. Undefined when the connection has ended.
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
