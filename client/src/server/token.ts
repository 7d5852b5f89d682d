import { check, checkNumber, checkObject, checkTenant, checkUser } from './check.ts'
import { AraError } from './error.ts'
import type { ServerOptions, TokenOptions } from './types.ts'

const TTL_SECONDS = 3_600
/** The last second of the year 9999. */
const LAST_SECOND = 253_402_300_799
const MAX_ROLES = 100
const MAX_CHANNELS = 1_000
const ENCODER = new TextEncoder()

/** Base64url without padding (RFC 7515 §2). */
function encode(bytes: Uint8Array): string {
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join('')
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

const part = (value: object): string => encode(ENCODER.encode(JSON.stringify(value)))

function checkList(name: string, list: unknown, most: number): void {
  const isRight =
    list === undefined ||
    (Array.isArray(list) && list.length <= most && list.every(each => typeof each === 'string'))
  check(name, isRight, `a list of at most ${most} texts`)
}

/** Signs a token of a user by HMAC. `iat` lets the backend revoke it later. */
export async function signToken(
  {
    secret,
    issuer,
    audience,
    algorithm = 'HS256',
    tenant: ownTenant,
  }: Pick<ServerOptions, 'secret' | 'issuer' | 'audience' | 'algorithm' | 'tenant'>,
  wanted: TokenOptions,
): Promise<string> {
  checkObject('options', wanted, 'user')
  const { user, ttl = TTL_SECONDS, tenant = ownTenant, roles, channels } = wanted
  // The service trims its secret as well.
  const bytes = ENCODER.encode(secret?.trim())
  if (bytes.length === 0)
    throw new AraError('NO_SECRET', 'token() needs the option secret: the JWT_SECRET of the service')
  const now = Math.floor(Date.now() / 1000)
  checkUser(user)
  checkNumber('ttl', ttl, 1, LAST_SECOND - now)
  checkTenant(tenant)
  checkList('roles', roles, MAX_ROLES)
  checkList('channels', channels, MAX_CHANNELS)
  const claims = {
    sub: user,
    iat: now,
    exp: now + ttl,
    tenant_id: tenant,
    roles,
    channels,
    iss: issuer,
    aud: audience,
  }
  const signed = `${part({ alg: algorithm, typ: 'JWT' })}.${part(claims)}`
  const hmac = { name: 'HMAC', hash: `SHA-${algorithm.slice(2)}` }
  const key = await crypto.subtle.importKey('raw', bytes, hmac, false, ['sign'])
  const signature = await crypto.subtle.sign('HMAC', key, ENCODER.encode(signed))
  return `${signed}.${encode(new Uint8Array(signature))}`
}
