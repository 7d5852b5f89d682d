/**
 * Keeps a rejection for the `await` that follows: `const sending = awaitedLater(send(1))`.
 * Without a handler Bun fails the running test at once, or between two tests all later ones of the file.
 */
export function awaitedLater<T extends Promise<unknown> | readonly unknown[] | undefined>(made: T): T {
  void Promise.allSettled(Array.isArray(made) ? made : [made])
  return made
}
