import type { Connection } from '../hub/connection.ts'
import type { Awaitable } from '../lib/flow/awaitable.ts'

/** Takes the error of the store, waits, and resolves true if another attempt makes sense. */
export type Retry = (error: unknown) => Promise<boolean>

/**
 * Repeats a store call until it succeeds: an outage delays a connection without ending it. A fault of our own code cuts
 * the connection: the client resumes on another. Undefined if the connection has ended. A call that answers at once needs
 * no promise.
 */
export type Persist = <T>(
  connection: Pick<Connection, 'hasEnded' | 'cut'>,
  attempt: () => Awaitable<T>,
) => Awaitable<T | undefined>

export const createPersist = (retry: Retry): Persist => {
  const repeat = async <T>(
    connection: Pick<Connection, 'hasEnded' | 'cut'>,
    attempt: () => Awaitable<T>,
    first: Awaitable<T>,
  ): Promise<T | undefined> => {
    for (let answer = first; ; ) {
      try {
        return await answer
      } catch (error) {
        const isRepeated = await retry(error)
        if (connection.hasEnded()) return undefined
        if (!isRepeated) {
          connection.cut()
          return undefined
        }
      }
      answer = start(attempt)
    }
  }

  return (connection, attempt) => {
    if (connection.hasEnded()) return undefined
    const answer = start(attempt)
    return answer instanceof Promise ? repeat(connection, attempt, answer) : answer
  }
}

/** An error of the call itself rejects too. */
function start<T>(attempt: () => Awaitable<T>): Awaitable<T> {
  try {
    return attempt()
  } catch (error) {
    return Promise.reject(error)
  }
}
