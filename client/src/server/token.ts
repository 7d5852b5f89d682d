import { AraError } from './error.ts'
import type { TokenOptions } from './types.ts'

const TTL_SECONDS = 3_600
const ENCODER = new TextEncoder()

/** Base64url without padding (RFC 7515 §2). */
function encode(bytes: Uint8Array): string {
  const text = Array.from(bytes, byte => String.fromCharCode(byte)).join('')
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

const part = (value: object): string => encode(ENCODER.encode(JSON.stringify(value)))

/** Signs a token of a user by HMAC with SHA-256. `iat` lets the backend revoke it later. */
export async function signToken(
  secret: string | undefined,
  { user, ttl = TTL_SECONDS, tenant, roles, channels }: TokenOptions,
): Promise<string> {
  if (!secret)
    throw new AraError('NO_SECRET', 'token() needs the option secret: the JWT_SECRET of the service')
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: user, iat: now, exp: now + ttl, tenant_id: tenant, roles, channels }
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('raw', ENCODER.encode(secret), algorithm, false, ['sign'])
  const signature = await crypto.subtle.sign('HMAC', key, ENCODER.encode(signed))
  return `${signed}.${encode(new Uint8Array(signature))}`
}
