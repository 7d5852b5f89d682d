import { type CryptoKey, compactVerify, importSPKI, importX509 } from 'jose'
import * as v from 'valibot'
import { type Config, ConfigError } from '../config/config.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type ClaimRules, principalOf, refused, type VerifyResult } from './claims.ts'
import { hmacKeys, payloadByHmac } from './hmac.ts'
import { createKeySet, type FetchKeySet, type FetchResult } from './jwks.ts'

/** What a token must be to be accepted. */
export interface TokenSettings extends ClaimRules {
  /** Key of HS* tokens. */
  readonly secret?: string | undefined
  /** Also accepted, for rotation. */
  readonly previousSecret?: string | undefined
  /** PEM text, SPKI or X.509: key of all other tokens. */
  readonly publicKey?: string | undefined
  /** Key set of all other tokens. */
  readonly jwksUrl?: URL | string | undefined
  readonly algorithms: readonly string[]
}

export const tokenSettings = (config: Config): TokenSettings => ({
  secret: config.jwtSecret,
  previousSecret: config.jwtSecretPrevious,
  publicKey: config.jwtPublicKey,
  jwksUrl: config.jwtJwksUrl,
  issuer: config.jwtIssuer,
  audience: config.jwtAudience,
  algorithms: config.jwtAlgorithms,
  leewaySeconds: config.jwtLeewaySeconds,
  tenancy: config.tenantEnabled,
})

interface TokensOptions extends TokenSettings {
  readonly clock: Clock
  /** Instead of the runtime's, for the key set. */
  readonly fetch?: FetchKeySet
  /** Told how each fetch of the key set ended. */
  readonly onKeySet?: (fetched: FetchResult) => void
}

export interface Tokens extends Disposable {
  /** Who the token speaks for. Never throws. */
  verify(token: string): Promise<VerifyResult>
}

/** The payload of a token when one of the keys made its signature. */
type Check = (token: string) => Uint8Array | undefined | Promise<Uint8Array | undefined>

type HeldKeys = ReadonlyMap<string, Check>

const MAX_TOKEN_BYTES = 8192
const MIN_RSA_BITS = 2048

// Other members (jku, x5u, jwk, x5c) are not even looked at. No extension is known here, so any `crit` is unknown.
const Header = v.object({ alg: v.string(), kid: v.exactOptional(v.string()), crit: v.optional(v.never()) })
type Header = v.InferOutput<typeof Header>

const isSymmetric = (algorithm: string): boolean => algorithm.startsWith('HS')

const isStrong = ({ algorithm }: CryptoKey): boolean =>
  !('modulusLength' in algorithm) || Number(algorithm.modulusLength) >= MIN_RSA_BITS

/** Empty when the key is not of the kind the algorithm needs, or too short for it. */
async function importPublic(pem: string, algorithm: string): Promise<readonly CryptoKey[]> {
  const read = pem.includes('BEGIN CERTIFICATE') ? importX509 : importSPKI
  const key = await read(pem.trim(), algorithm).catch(() => undefined)
  return key !== undefined && isStrong(key) ? [key] : []
}

/** Imported once per algorithm, so that none ever meets a key of the other kind: a public key is no HMAC secret. */
async function holdKeys({ algorithms, secret, previousSecret, publicKey }: TokenSettings): Promise<HeldKeys> {
  const secrets = [secret, previousSecret].filter(text => text !== undefined)
  const held = new Map<string, Check>()
  const fitting: CryptoKey[] = []
  for (const algorithm of algorithms) {
    if (isSymmetric(algorithm)) {
      const keys = hmacKeys(algorithm, secrets)
      held.set(algorithm, token => payloadByHmac(token, keys))
      continue
    }
    const keys = publicKey === undefined ? [] : await importPublic(publicKey, algorithm)
    fitting.push(...keys)
    held.set(algorithm, token => payloadOf(token, keys))
  }
  if (publicKey !== undefined && fitting.length === 0 && !algorithms.every(isSymmetric))
    throw new ConfigError('JWT_PUBLIC_KEY: expected PEM (SPKI or X.509) of a key that fits JWT_ALGORITHMS')
  return held
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined for anything but JSON in UTF-8 without a byte order mark. */
function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    return undefined
  }
}

/** The header of a token of three canonical base64url parts: no padding, no stray bits, one spelling only. */
function headerOf(token: string): Header | undefined {
  if (token.length > MAX_TOKEN_BYTES) return undefined
  const parts = token.split('.', 4)
  const [head, ...rest] = parts.map(part => Buffer.from(part, 'base64url'))
  if (head === undefined || rest.length !== 2) return undefined
  if ([head, ...rest].some((bytes, at) => bytes.toString('base64url') !== parts[at])) return undefined
  const { success, output } = v.safeParse(Header, jsonOf(head))
  return success ? output : undefined
}

/** The payload when one of the keys made the signature. */
async function payloadOf(token: string, keys: readonly CryptoKey[]): Promise<Uint8Array | undefined> {
  for (const key of keys) {
    const verified = await compactVerify(token, key).catch(() => undefined)
    if (verified !== undefined) return verified.payload
  }
  return undefined
}

/** Imports the keys and starts to fetch the key set, for which it does not wait. Throws ConfigError for an unfit public key. */
export async function createTokens({ clock, fetch, onKeySet, ...settings }: TokensOptions): Promise<Tokens> {
  const held = await holdKeys(settings)
  const { jwksUrl } = settings
  const keySet =
    jwksUrl === undefined ? undefined : createKeySet({ url: jwksUrl, clock, fetch, onFetched: onKeySet })

  return {
    verify: async token => {
      const header = headerOf(token)
      if (header === undefined) return refused('malformed')
      const own = held.get(header.alg)
      if (own === undefined) return refused('algorithm not allowed')
      const fetched = isSymmetric(header.alg) ? undefined : keySet
      const payload =
        (await own(token)) ?? (fetched && (await payloadOf(token, await fetched.keysFor(header))))
      if (payload === undefined) return refused(fetched?.loaded === false ? 'no key set' : 'signature')
      return principalOf(jsonOf(payload), settings, clock.now())
    },
    [Symbol.dispose]: () => keySet?.[Symbol.dispose](),
  }
}
