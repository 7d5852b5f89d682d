import type { Principal } from '../notification/principal.ts'

/** How long a revocation is in force, milliseconds. */
export const REVOCATION_MS = 86_400_000

/**
 * Whether a token counts for nothing any more: made before `before` (milliseconds since 1970), or silent about when it was
 * made. Undefined when no token of that user was revoked.
 */
export const isRevoked = ({ issuedAt }: Principal, before: number | undefined): boolean =>
  before !== undefined && (issuedAt === undefined || issuedAt * 1000 < before)
