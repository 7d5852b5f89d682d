import { SignJWT } from 'jose'
import type { Clock } from '../lib/clock.ts'

interface SignOptions {
  readonly secret: string
  readonly user: string
  /** How long it is good for. */
  readonly seconds: number
  readonly clock: Pick<Clock, 'now'>
}

/** A token for the first steps of a newcomer, HS256. */
export const signToken = ({ secret, user, seconds, clock }: SignOptions): Promise<string> =>
  new SignJWT({ sub: user, exp: Math.floor(clock.now() / 1000) + seconds })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret))
