interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  /** From 0 up to 1. */
  readonly random?: () => number
}

/** So many clients that lost one server together do not come back together. */
const SPREAD = 0.1

/** Milliseconds to wait before try n, from 0: `min(maxMs, initialMs · 2ⁿ)`, give or take a tenth. */
export const createBackoff =
  ({ initialMs, maxMs, random = Math.random }: BackoffOptions) =>
  (n: number): number =>
    Math.min(maxMs, initialMs * 2 ** n) * (1 + SPREAD * (2 * random() - 1))
