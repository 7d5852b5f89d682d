import * as v from 'valibot'
import { quickReadOf, UNSURE } from '../lib/json/quick-read.ts'
import type { Principal } from '../notification/principal.ts'
import { DEFAULT_TENANT, isTenant, isUserId } from '../protocol/names.ts'

const MAX_ROLES = 100
const MAX_PATTERNS = 1_000
/** Shared by all principals without roles. */
const NO_ROLES: readonly string[] = []

/** A NumericDate (RFC 7519 §2), with or without a fraction. */
const seconds = v.pipe(v.number(), v.minValue(Number.MIN_SAFE_INTEGER), v.maxValue(Number.MAX_SAFE_INTEGER))

/** Checks claims, since a valid signature proves neither presence nor type. */
export const claims = v.object({
  sub: v.pipe(v.string(), v.check(isUserId)),
  exp: seconds,
  iat: v.nullish(seconds),
  nbf: v.nullish(seconds),
  roles: v.nullish(v.pipe(v.array(v.string()), v.maxLength(MAX_ROLES))),
  tenant_id: v.nullish(v.string()),
  channels: v.optional(v.pipe(v.array(v.string()), v.maxLength(MAX_PATTERNS))),
  iss: v.optional(v.unknown()),
  aud: v.optional(v.unknown()),
})

type Claims = v.InferOutput<typeof claims>

const quickRead = quickReadOf(claims)

/** The claims, or the name of one that is missing or of a wrong shape. */
function claimsIn(payload: unknown): Claims | string {
  const quick = quickRead(payload)
  if (quick !== UNSURE) return quick as Claims
  const { success, output, issues } = v.safeParse(claims, payload)
  return success ? output : String(issues[0].path?.[0]?.key ?? 'set')
}

export interface ClaimRules {
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
  readonly leewaySeconds: number
  /** False: `tenant_id` is ignored, but must be text. */
  readonly tenancy: boolean
}

/** A principal, or a reason for the log, which contains nothing of the token. */
export type VerifyResult =
  | { readonly ok: true; readonly principal: Principal }
  | { readonly ok: false; readonly reason: string }

export const refused = (reason: string): VerifyResult => ({ ok: false, reason })

const isFor = (audience: string, aud: unknown): boolean =>
  aud === audience || (Array.isArray(aud) && aud.includes(audience))

/** The principal that a token's payload names; `now` in milliseconds since 1970. */
export function principalOf(
  payload: unknown,
  { issuer, audience, leewaySeconds, tenancy }: ClaimRules,
  now: number,
): VerifyResult {
  const read = claimsIn(payload)
  if (typeof read === 'string') return refused(`claim ${read} is missing or of a wrong shape`)
  const { sub, exp, nbf, iat, roles, tenant_id, channels, iss, aud } = read
  if (now >= (exp + leewaySeconds) * 1000) return refused('expired')
  if (typeof nbf === 'number' && now < (nbf - leewaySeconds) * 1000) return refused('not yet valid')
  if (issuer !== undefined && iss !== issuer) return refused('other issuer')
  if (audience !== undefined && !isFor(audience, aud)) return refused('other audience')
  const tenant = tenancy ? (tenant_id ?? DEFAULT_TENANT) : DEFAULT_TENANT
  if (!isTenant(tenant)) return refused('claim tenant_id is of a wrong shape')
  const principal = {
    user: sub,
    tenant,
    roles: roles?.length ? roles : NO_ROLES,
    expiresAt: exp * 1000,
    ...(channels && { channels }),
    ...(typeof iat === 'number' && { issuedAt: iat }),
  }
  return { ok: true, principal }
}
