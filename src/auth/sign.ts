import { SignJWT } from 'jose'
import type { Clock } from '../lib/time/clock.ts'

interface SignOptions {
  readonly secret: string
  /** An HS algorithm. */
  readonly algorithm?: string
  readonly user: string
  /** Claim `tenant_id`; absent without it, as the following claims are. */
  readonly tenant?: string | undefined
  readonly roles?: readonly string[] | undefined
  readonly channels?: readonly string[] | undefined
  readonly issuer?: string | undefined
  readonly audience?: string | undefined
  /** Life of the token. */
  readonly seconds: number
  readonly clock: Pick<Clock, 'now'>
}

/** Signs a token for a user. */
export function signToken({
  secret,
  algorithm = 'HS256',
  user,
  tenant,
  roles,
  channels,
  issuer,
  audience,
  seconds,
  clock,
}: SignOptions): Promise<string> {
  const iat = Math.floor(clock.now() / 1000)
  // JSON leaves out undefined claims.
  const claims = {
    sub: user,
    iat,
    exp: iat + seconds,
    tenant_id: tenant,
    roles,
    channels,
    iss: issuer,
    aud: audience,
  }
  return new SignJWT(JSON.parse(JSON.stringify(claims)))
    .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
    .sign(new TextEncoder().encode(secret))
}
