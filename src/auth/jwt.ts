import { type CryptoKey, compactVerify, importSPKI, importX509 } from 'jose'
import * as v from 'valibot'
import { type Config, ConfigError } from '../config/config.ts'
import { type Awaitable, whenReady } from '../lib/flow/awaitable.ts'
import type { Clock } from '../lib/time/clock.ts'
import { type ClaimRules, principalOf, refused, type VerifyResult } from './claims.ts'
import { hmacKeys, payloadByHmac } from './hmac.ts'
import { createKeySet, type FetchKeySet, type FetchResult, type KeySet } from './jwks.ts'

/** Keys and rules that a token must satisfy. */
export interface TokenSettings extends ClaimRules {
  /** Key for HS* tokens. */
  readonly secret?: string | undefined
  /** Former key for HS* tokens, accepted during rotation. */
  readonly previousSecret?: string | undefined
  /** PEM text (SPKI or X.509) of the key for all other tokens. */
  readonly publicKey?: string | undefined
  /** URL of the key set for all other tokens. */
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
  /** Replaces the runtime's `fetch` for the key set. */
  readonly fetch?: FetchKeySet
  /** Called after each fetch of the key set. */
  readonly onKeySet?: (fetched: FetchResult) => void
}

export interface Tokens extends Disposable {
  /** Verifies a token and gives its principal, of an HS* token at once. Never throws. */
  verify(token: string): Awaitable<VerifyResult>
}

/** Gives the payload of a token if one of its keys made the signature. */
type SignatureCheck = (token: string) => Awaitable<Uint8Array | undefined>

/** Signature checks by algorithm. */
type SignatureChecks = ReadonlyMap<string, SignatureCheck>

const MAX_TOKEN_BYTES = 8192
const MIN_RSA_BITS = 2048

// Ignores `jku`, `x5u`, `jwk` and `x5c`. Rejects `crit`, since no extension is supported.
const Header = v.object({ alg: v.string(), kid: v.exactOptional(v.string()), crit: v.optional(v.never()) })
type Header = v.InferOutput<typeof Header>

const isSymmetric = (algorithm: string): boolean => algorithm.startsWith('HS')

const isStrong = ({ algorithm }: CryptoKey): boolean =>
  !('modulusLength' in algorithm) || Number(algorithm.modulusLength) >= MIN_RSA_BITS

/** Imports a public key. Empty if its type does not fit the algorithm or it is too short. */
async function importPublic(pem: string, algorithm: string): Promise<readonly CryptoKey[]> {
  const read = pem.includes('BEGIN CERTIFICATE') ? importX509 : importSPKI
  const key = await read(pem.trim(), algorithm).catch(() => undefined)
  return key !== undefined && isStrong(key) ? [key] : []
}

/** Imports keys per algorithm: a public key must never serve as an HMAC secret. */
async function importKeys({
  algorithms,
  secret,
  previousSecret,
  publicKey,
}: TokenSettings): Promise<SignatureChecks> {
  const secrets = [secret, previousSecret].filter(text => text !== undefined)
  const checks = new Map<string, SignatureCheck>()
  const fitting: CryptoKey[] = []
  for (const algorithm of algorithms) {
    if (isSymmetric(algorithm)) {
      const keys = hmacKeys(algorithm, secrets)
      checks.set(algorithm, token => payloadByHmac(token, keys))
      continue
    }
    const keys = publicKey === undefined ? [] : await importPublic(publicKey, algorithm)
    fitting.push(...keys)
    checks.set(algorithm, token => payloadOf(token, keys))
  }
  if (publicKey !== undefined && fitting.length === 0 && !algorithms.every(isSymmetric))
    throw new ConfigError('JWT_PUBLIC_KEY: expected PEM (SPKI or X.509) of a key that fits JWT_ALGORITHMS')
  return checks
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Parses JSON in UTF-8 without a byte order mark; undefined for anything else. */
function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes))
  } catch {
    return undefined
  }
}

/** Canonical base64url: no padding, no stray bits. */
const PART = '(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?'
const TOKEN = new RegExp(`^${PART}\\.${PART}\\.${PART}$`)

/** Reads the header of a token. Nearly all tokens of a service have the same one. */
function createHeaderOf(): (token: string) => Header | undefined {
  let known: { readonly text: string; readonly header: Header } | undefined
  return token => {
    if (token.length > MAX_TOKEN_BYTES || !TOKEN.test(token)) return undefined
    const text = token.slice(0, token.indexOf('.'))
    if (known?.text === text) return known.header
    const { success, output } = v.safeParse(Header, jsonOf(Buffer.from(text, 'base64url')))
    if (success) known = { text, header: output }
    return success ? output : undefined
  }
}

/** The payload if one of the keys made the signature. */
async function payloadOf(token: string, keys: readonly CryptoKey[]): Promise<Uint8Array | undefined> {
  for (const key of keys) {
    const verified = await compactVerify(token, key).catch(() => undefined)
    if (verified !== undefined) return verified.payload
  }
  return undefined
}

/** The payload that an own key gave, else by a key of the set. */
const payloadOrFetched = async (
  own: Awaitable<Uint8Array | undefined>,
  token: string,
  header: Header,
  keySet: Pick<KeySet, 'keysFor'>,
): Promise<Uint8Array | undefined> => (await own) ?? payloadOf(token, await keySet.keysFor(header))

/** Imports the keys and starts to fetch the key set. Throws ConfigError for an unfit public key. */
export async function createTokens({ clock, fetch, onKeySet, ...settings }: TokensOptions): Promise<Tokens> {
  const checks = await importKeys(settings)
  const headerOf = createHeaderOf()
  const { jwksUrl } = settings
  const keySet =
    jwksUrl === undefined ? undefined : createKeySet({ url: jwksUrl, clock, fetch, onFetched: onKeySet })

  return {
    verify: token => {
      const header = headerOf(token)
      if (header === undefined) return refused('malformed')
      const own = checks.get(header.alg)
      if (own === undefined) return refused('algorithm not allowed')
      const fetched = isSymmetric(header.alg) ? undefined : keySet
      const judge = (payload: Uint8Array | undefined): VerifyResult => {
        if (payload === undefined) return refused(fetched?.loaded === false ? 'no key set' : 'signature')
        return principalOf(jsonOf(payload), settings, clock.now())
      }
      const payload = own(token)
      if (fetched === undefined) return whenReady(payload, judge)
      return payloadOrFetched(payload, token, header, fetched).then(judge)
    },
    [Symbol.dispose]: () => keySet?.[Symbol.dispose](),
  }
}
