import { signToken } from '../auth/sign.ts'
import { type Environment, readSetting } from '../config/config.ts'
import { systemClock } from '../lib/time/clock.ts'
import { isTenant, isUserId, USER_ID_RULE } from '../protocol/names.ts'
import { type Arguments, durationOf, listOf, UsageError } from './options.ts'
import type { Terminal } from './terminal.ts'

const HOUR_SECONDS = 3_600

interface TokenRequest {
  readonly user: string
  readonly tenant?: string | undefined
  readonly roles?: readonly string[] | undefined
  readonly channels?: readonly string[] | undefined
  readonly seconds?: number | undefined
  /** Time of issue, milliseconds since 1970. */
  readonly at?: number
}

/** Signs a token that the service with these settings accepts. */
export async function tokenFor(
  env: Environment,
  { at = systemClock.now(), ...request }: TokenRequest,
): Promise<string> {
  const secret = readSetting('JWT_SECRET', env)
  if (secret === undefined)
    throw new Error(
      'JWT_SECRET is unset: set it to the secret of the service, or sign tokens with your private key',
    )
  const algorithms = readSetting('JWT_ALGORITHMS', env) ?? ['HS256']
  const algorithm = algorithms.find(name => name.startsWith('HS'))
  if (algorithm === undefined)
    throw new Error('JWT_ALGORITHMS allows no HS algorithm: sign tokens with your private key instead')
  return await signToken({
    ...request,
    secret,
    algorithm,
    issuer: readSetting('JWT_ISSUER', env),
    audience: readSetting('JWT_AUDIENCE', env),
    seconds: request.seconds ?? HOUR_SECONDS,
    clock: { now: () => at },
  })
}

/** The value of `--user`, which must be a user id. */
export function userOf(args: Arguments): string | undefined {
  const user = args.text('user')
  if (user !== undefined && !isUserId(user)) throw new UsageError(`--user: expected ${USER_ID_RULE}`)
  return user
}

export function tenantOf(args: Arguments): string | undefined {
  const tenant = args.text('tenant')
  if (tenant !== undefined && !isTenant(tenant))
    throw new UsageError('--tenant: expected 1 to 64 letters, digits, _ . or -')
  return tenant
}

/** `token`: prints a signed token. */
export async function printToken(args: Arguments, env: Environment, terminal: Terminal): Promise<number> {
  const user = userOf(args)
  if (user === undefined) throw new UsageError('expected --user')
  const seconds = durationOf(args, 'ttl', 1) ?? HOUR_SECONDS
  const tenant = tenantOf(args)
  const roles = listOf(args, 'roles')
  const channels = listOf(args, 'channels')
  const at = systemClock.now()
  const token = await tokenFor(env, { user, tenant, roles, channels, seconds, at })
  const expiresAt = new Date((Math.floor(at / 1_000) + seconds) * 1_000).toISOString()
  await terminal.print(args.flag('json') ? JSON.stringify({ token, user, expires_at: expiresAt }) : token)
  return 0
}
