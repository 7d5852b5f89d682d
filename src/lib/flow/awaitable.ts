/** A value or a promise of it. A caller that tests for the promise keeps a synchronous path. */
export type Awaitable<T> = T | Promise<T>

/** Passes the value on, in this turn when it is there. */
export const whenReady = <T, U>(value: Awaitable<T>, use: (value: T) => Awaitable<U>): Awaitable<U> =>
  value instanceof Promise ? value.then(use) : use(value)
