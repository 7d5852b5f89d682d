import type { Target } from './target.ts'

/** Bound on the bytes that one call or batch stores: recipients times payload. */
export const MAX_FAN_OUT_BYTES = 64 * 1024 * 1024
/** Fewer recipients never reach the bound, whatever the payload. */
const FEW = 1_024

/** A target and its payload size, which is computed only when it may matter. */
export interface Portion {
  readonly target: Target
  readonly payloadBytes: () => number
}

const namedIn = (target: Target): number => (target.type === 'users' ? target.users.length : 1)

/** False: no payload for these targets can be too large. */
export const mayBeOverFanOut = (targets: readonly Target[]): boolean =>
  targets.reduce((sum, target) => sum + namedIn(target), 0) > FEW

const bytesOf = ({ target, payloadBytes }: Portion): number => {
  if (target.type === 'user') return payloadBytes()
  if (target.type !== 'users') return 0
  const bytes = payloadBytes()
  return bytes === 0 ? 0 : new Set(target.users).size * bytes
}

/** Tells whether the logs of users would store more than MAX_FAN_OUT_BYTES. Crowds have no log. */
export const isOverFanOut = (portions: readonly Portion[]): boolean =>
  mayBeOverFanOut(portions.map(({ target }) => target)) &&
  portions.reduce((sum, portion) => sum + bytesOf(portion), 0) > MAX_FAN_OUT_BYTES
