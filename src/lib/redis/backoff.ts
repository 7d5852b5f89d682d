interface BackoffOptions {
  readonly initialMs: number
  readonly maxMs: number
  /** Random number in [0, 1). Only tests set it. */
  readonly random?: () => number
}

/** Jitter: clients that lost a server together reconnect at different times. */
const SPREAD = 0.1

/** Milliseconds before attempt n, from 0: `min(maxMs, initialMs · 2ⁿ)` ± 10 %. */
export const createBackoff =
  ({ initialMs, maxMs, random = Math.random }: BackoffOptions) =>
  (n: number): number =>
    Math.min(maxMs, initialMs * 2 ** n) * (1 + SPREAD * (2 * random() - 1))
