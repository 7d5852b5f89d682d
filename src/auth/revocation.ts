import type { Principal } from '../notification/principal.ts'

/** A revocation lasts no longer, whatever tokens live. */
const MAX_LIFE_MS = 86_400_000

/**
 * Whether a token counts for nothing any more: made before `before` (milliseconds since 1970), or silent about when it was
 * made. Undefined when no token of that user was revoked.
 */
export const isRevoked = ({ issuedAt }: Principal, before: number | undefined): boolean =>
  before !== undefined && (issuedAt === undefined || issuedAt * 1000 < before)

/** How long a token lives, milliseconds; one that is silent about when it was made, from now on. */
export const lifeOf = ({ expiresAt, issuedAt }: Principal, now: number): number =>
  expiresAt - (issuedAt === undefined ? now : issuedAt * 1000)

/**
 * When a revocation made now is over: then all tokens made before it have ended, if none lives longer than the longest-lived
 * one that was seen (undefined when none was).
 */
export const revocationEnd = (
  now: number,
  longestLifeMs: number | undefined,
  leewaySeconds: number,
): number => now + Math.min(MAX_LIFE_MS, (longestLifeMs ?? MAX_LIFE_MS) + leewaySeconds * 1000)
