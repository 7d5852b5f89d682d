import { SignJWT } from 'jose'
import type { Clock } from '../lib/time/clock.ts'

interface SignOptions {
  readonly secret: string
  readonly user: string
  /** Without it the token has no `tenant_id`. */
  readonly tenant?: string
  /** How long the token is good for. */
  readonly seconds: number
  readonly clock: Pick<Clock, 'now'>
}

/** A HS256 token for a user, as the development start prints one. */
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
