import { describe, expect, test } from 'bun:test'
import { isRevoked } from '../../src/auth/revocation.ts'
import type { Principal } from '../../src/notification/principal.ts'

const NOW = 1_767_323_045_000
const HOUR = 3_600_000

const principal = (issuedAt?: number): Principal => ({
  user: 'u',
  tenant: 'default',
  roles: [],
  expiresAt: NOW + HOUR,
  ...(issuedAt !== undefined && { issuedAt }),
})

describe('a token is revoked', () => {
  for (const [what, issuedAt, before, revoked] of [
    ['never when none of its user is', 1_000, undefined, false],
    ['not even one without iat when none is', undefined, undefined, false],
    ['when it was made before', 999, 1_000_000, true],
    ['not when it was made then', 1_000, 1_000_000, false],
    ['not when it was made later', 1_001, 1_000_000, false],
    ['when it was made in the second in which it was revoked, earlier', 1_000, 1_000_001, true],
    ['when it does not say when it was made', undefined, 1_000_000, true],
    ['when it does not say when it was made, whatever the moment', undefined, 0, true],
    ['not when it was made in 1970 and nothing before was revoked', 0, 0, false],
  ] as const)
    test(what, () => {
      expect(isRevoked(principal(issuedAt), before)).toBe(revoked)
    })
})
