import type { Principal } from '../notification/principal.ts'

/** Life of a revocation in milliseconds. */
export const REVOCATION_MS = 86_400_000

/** Whether a token lacks `iat` or is older than `before` (milliseconds since 1970). */
export const isRevoked = ({ issuedAt }: Principal, before: number | undefined): boolean =>
  before !== undefined && (issuedAt === undefined || issuedAt * 1000 < before)
