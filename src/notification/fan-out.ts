import type { Target } from './target.ts'

/** Recipients times payload of one call or batch, in bytes: what storing it may take. */
export const MAX_FAN_OUT_BYTES = 64 * 1024 * 1024
/** With fewer recipients no payload reaches the bound. */
const FEW = 1_024

/** A target, and how large the payload for it is; asked only when it may matter. */
export interface Portion {
  readonly target: Target
  readonly payloadBytes: () => number
}

const namedIn = (target: Target): number => (target.type === 'users' ? target.users.length : 1)

/** False when no payload for these targets can be too large. */
export const mayBeOverFanOut = (targets: readonly Target[]): boolean =>
  targets.reduce((sum, target) => sum + namedIn(target), 0) > FEW

const bytesOf = ({ target, payloadBytes }: Portion): number => {
  if (target.type === 'user') return payloadBytes()
  if (target.type !== 'users') return 0
  const bytes = payloadBytes()
  return bytes === 0 ? 0 : new Set(target.users).size * bytes
}

/** Whether what is stored for users would be over MAX_FAN_OUT_BYTES; crowds are not stored. */
export const isOverFanOut = (portions: readonly Portion[]): boolean =>
  mayBeOverFanOut(portions.map(({ target }) => target)) &&
  portions.reduce((sum, portion) => sum + bytesOf(portion), 0) > MAX_FAN_OUT_BYTES
