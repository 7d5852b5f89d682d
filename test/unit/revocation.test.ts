import { describe, expect, test } from 'bun:test'
import { isRevoked, lifeOf, revocationEnd } from '../../src/auth/revocation.ts'
import type { Principal } from '../../src/notification/principal.ts'

const NOW = 1_767_323_045_000
const HOUR = 3_600_000
const DAY = 24 * HOUR

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

test('a token lives from when it was made, or from now, to its end', () => {
  expect(lifeOf(principal(NOW / 1_000 - 600), NOW)).toBe(HOUR + 600_000)
  expect(lifeOf(principal(), NOW)).toBe(HOUR)
})

describe('a revocation is over', () => {
  for (const [what, life, leeway, after] of [
    ['when the longest-lived token is, with the leeway', HOUR, 60, HOUR + 60_000],
    ['after a day when tokens live longer', 30 * DAY, 60, DAY],
    ['after a day at most, leeway and all', DAY, 60, DAY],
    ['after a day when no token was seen', undefined, 60, DAY],
  ] as const)
    test(what, () => {
      expect(revocationEnd(NOW, life, leeway) - NOW).toBe(after)
    })
})
