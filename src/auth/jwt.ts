import { compactVerify, errors, importSPKI, importX509, type JWTVerifyGetKey } from 'jose'
import type { Clock } from '../lib/clock.ts'
import { type ClaimRules, principalOf, refused, type Verified } from './claims.ts'
import { createKeySet, type Fetch, type KeySet } from './jwks.ts'

export interface Tokens {
  /** Never rejects. */
  verify(token: string): Promise<Verified>
}

interface TokenOptions extends ClaimRules {
  /** For HS* tokens. */
  readonly secret?: string
  /** Also accepted, for rotation. */
  readonly previousSecret?: string
  /** PEM, SPKI or X.509; for all but HS* tokens. */
  readonly publicKey?: string
  /** Where a key set for all but HS* tokens is. */
  readonly jwksUrl?: string
  /** The only ones accepted. */
  readonly algorithms: readonly string[]
  readonly clock: Clock
  readonly fetch?: Fetch
}

type Key = Parameters<typeof compactVerify>[1]

const MAX_BYTES = 8_192
const BASE64URL = /^[A-Za-z0-9_-]+$/

/** Other texts would decode to the same bytes: stray bits in the last character, padding. */
const isCanonical = (part: string): boolean =>
  BASE64URL.test(part) && Buffer.from(part, 'base64url').toString('base64url') === part

function hasFormOfToken(token: string): boolean {
  if (token.length > MAX_BYTES) return false
  const parts = token.split('.')
  return parts.length === 3 && parts.every(isCanonical)
}

const isSymmetric = (algorithm: string): boolean => algorithm.startsWith('HS')

/** The key under each algorithm it fits; a PEM that fits none is refused. */
async function publicKeys(pem: string, algorithms: readonly string[]): Promise<ReadonlyMap<string, Key>> {
  const load = pem.includes('BEGIN CERTIFICATE') ? importX509 : importSPKI
  const found = new Map<string, Key>()
  for (const algorithm of algorithms.filter(each => !isSymmetric(each))) {
    const key = await load(pem, algorithm).catch(() => undefined)
    if (key !== undefined) found.set(algorithm, key)
  }
  if (found.size === 0)
    throw new Error('JWT_PUBLIC_KEY: expected a PEM (SPKI or X.509) that fits JWT_ALGORITHMS')
  return found
}

const secretKey = (secret: string, algorithm: string): Promise<CryptoKey> =>
  crypto.subtle.importKey(
    'raw',
    new TextEncoder().encode(secret),
    { name: 'HMAC', hash: `SHA-${algorithm.slice(2)}` },
    false,
    ['verify'],
  )

/** Keys imported once, by algorithm. A secret never serves a public-key algorithm, nor the other way round. */
async function secretKeys(
  secrets: readonly string[],
  algorithms: readonly string[],
): Promise<ReadonlyMap<string, readonly Key[]>> {
  const symmetric = algorithms.filter(isSymmetric)
  const keys = symmetric.map(
    async algorithm =>
      [algorithm, await Promise.all(secrets.map(secret => secretKey(secret, algorithm)))] as const,
  )
  return new Map(await Promise.all(keys))
}

/** Signature, algorithm and claims of clients' tokens (contract §2.2). */
export async function createTokens({
  secret,
  previousSecret,
  publicKey,
  jwksUrl,
  algorithms,
  clock,
  fetch = globalThis.fetch,
  ...rules
}: TokenOptions): Promise<Tokens> {
  const allowed = [...algorithms]
  const secrets = [secret, previousSecret].filter(each => each !== undefined)
  const symmetric = await secretKeys(secrets, algorithms)
  const publics = publicKey === undefined ? undefined : await publicKeys(publicKey, algorithms)
  const keySet: KeySet | undefined =
    jwksUrl === undefined ? undefined : createKeySet({ url: jwksUrl, clock, fetch })

  const fromPublicKey: JWTVerifyGetKey = ({ alg }) => {
    const key = publics?.get(alg)
    if (key === undefined) throw new errors.JOSEAlgNotAllowed('no key for this algorithm')
    return key as CryptoKey
  }

  const check = async (token: string, key: Key | JWTVerifyGetKey): Promise<Verified> => {
    // A function of the header or a key: the library tells them apart by overloads.
    const { payload } =
      typeof key === 'function'
        ? await compactVerify(token, key, { algorithms: allowed })
        : await compactVerify(token, key, { algorithms: allowed })
    return principalOf(
      JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)),
      rules,
      clock.now(),
    )
  }

  const checkWithKeySet = async (token: string, keys: KeySet): Promise<Verified> => {
    const known = keys.current()
    try {
      if (known !== undefined) return await check(token, known)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
    }
    await keys.missed()
    const renewed = keys.current()
    return renewed === undefined ? refused('no key set loaded') : check(token, renewed)
  }

  const checkWithSecrets = async (token: string, keys: readonly Key[]): Promise<Verified> => {
    for (const key of keys) {
      try {
        return await check(token, key)
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
      }
    }
    return refused('signature')
  }

  const checkWithPublicKeys = async (token: string): Promise<Verified> => {
    if (publics === undefined)
      return keySet === undefined ? refused('no key for this algorithm') : checkWithKeySet(token, keySet)
    try {
      return await check(token, fromPublicKey)
    } catch (error) {
      if (keySet === undefined) throw error
      return checkWithKeySet(token, keySet)
    }
  }

  return {
    verify: async token => {
      if (!hasFormOfToken(token)) return refused('not a token')
      try {
        const { alg } = JSON.parse(Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString()) as {
          alg?: unknown
        }
        if (typeof alg !== 'string' || !allowed.includes(alg)) return refused('algorithm not allowed')
        return isSymmetric(alg)
          ? await checkWithSecrets(token, symmetric.get(alg) ?? [])
          : await checkWithPublicKeys(token)
      } catch (error) {
        return refused(error instanceof errors.JOSEError ? error.code : 'not a token')
      }
    },
  }
}
