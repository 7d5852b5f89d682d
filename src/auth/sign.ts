import { SignJWT } from 'jose'
import type { Clock } from '../lib/time/clock.ts'

interface SignOptions {
  readonly secret: string
  readonly user: string
  /** Claim `tenant_id`; absent without it. */
  readonly tenant?: string
  /** Life of the token. */
  readonly seconds: number
  readonly clock: Pick<Clock, 'now'>
}

/** Signs an HS256 token for a user; the development start prints one. */
export function signToken({ secret, user, tenant, seconds, clock }: SignOptions): Promise<string> {
  const iat = Math.floor(clock.now() / 1000)
  return new SignJWT({
    sub: user,
    iat,
    exp: iat + seconds,
    ...(tenant !== undefined && { tenant_id: tenant }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(new TextEncoder().encode(secret))
}
