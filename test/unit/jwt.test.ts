import { describe, expect, spyOn, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import {
  type CryptoKey,
  exportJWK,
  exportSPKI,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JWK,
  SignJWT,
} from 'jose'
import type { FetchResult } from '../../src/auth/jwks.ts'
import { createTokens } from '../../src/auth/jwt.ts'
import { signToken } from '../../src/auth/sign.ts'
import { tokenOf } from '../../src/auth/token.ts'
import { awaitedLater } from '../support/awaited-later.ts'

const NOW = 1_750_000_000
const LEEWAY = 60
const SECRET = 'a-secret-for-tests-of-at-least-32-bytes'
const OTHER = 'another-secret-for-tests-of-32-bytes-up'
const HS256 = { alg: 'HS256' }
const CLAIMS = { sub: 'ann', exp: NOW + 3600 }

function fakeClock() {
  const clock = { wall: NOW * 1000, span: 5000, now: () => clock.wall, monotonic: () => clock.span }
  return clock
}

type Settings = Partial<Parameters<typeof createTokens>[0]>

const open = (settings: Settings = {}) =>
  createTokens({
    secret: SECRET,
    algorithms: ['HS256'],
    leewaySeconds: LEEWAY,
    tenancy: false,
    clock: fakeClock(),
    ...settings,
  })

/** Verdict of a service with these settings on one token. */
async function verify(token: string, settings: Settings = {}) {
  using tokens = await open(settings)
  return tokens.verify(token)
}

const part = (value: unknown): string =>
  Buffer.from(
    typeof value === 'string' || value instanceof Uint8Array ? value : JSON.stringify(value),
  ).toString('base64url')

/** Signs any text. */
const seal = (text: string, secret = SECRET, hash = 'sha256'): string =>
  `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`

/** Encodes text and bytes unchanged, anything else as JSON. */
const forge = (payload: unknown, header: unknown = HS256, secret = SECRET): string =>
  seal(`${part(header)}.${part(payload)}`, secret)

const withClaims = (claims: object): string => forge({ ...CLAIMS, ...claims })

/** Makes a correctly signed token of exactly this many bytes. */
function tokenOfBytes(bytes: number): string {
  for (const x of ['', 'x', 'xx', 'xxx'])
    for (let pad = 5900; pad < 6200; pad++) {
      const text = `${part({ ...HS256, x })}.${part({ ...CLAIMS, pad: 'p'.repeat(pad) })}`
      if (text.length === bytes - 44) return seal(text)
    }
  throw new Error('no such size')
}

/** Sets the unused bits of the last character: another spelling with equal bytes. */
const withStrayBits = (text: string): string =>
  text.slice(0, -1) + String.fromCharCode(text.charCodeAt(text.length - 1) + 1)

const listOf = (length: number): string[] => Array.from({ length }, (_, at) => `r${at}`)

describe('a token that is accepted', () => {
  test('names its user', async () => {
    expect(await verify(forge(CLAIMS))).toEqual({
      ok: true,
      principal: { user: 'ann', tenant: 'default', roles: [], expiresAt: (NOW + 3600) * 1000 },
    })
  })

  test('carries all fields of a principal', async () => {
    const claims = { iat: NOW - 5, nbf: NOW, roles: ['a', 'b'], tenant_id: 'acme', channels: ['x', 'y.*'] }
    expect(await verify(withClaims(claims), { tenancy: true })).toEqual({
      ok: true,
      principal: {
        user: 'ann',
        tenant: 'acme',
        roles: ['a', 'b'],
        channels: ['x', 'y.*'],
        expiresAt: (NOW + 3600) * 1000,
        issuedAt: NOW - 5,
      },
    })
  })

  const accepted: [why: string, token: string, settings?: Settings][] = [
    ['of the previous secret', forge(CLAIMS, HS256, OTHER), { previousSecret: OTHER }],
    ['of the secret while there is a previous one', forge(CLAIMS), { previousSecret: OTHER }],
    ['of a short secret', forge(CLAIMS, HS256, 'short'), { secret: 'short' }],
    ['of a secret outside ASCII', forge(CLAIMS, HS256, 'schlüssel'), { secret: 'schlüssel' }],
    ['of 8,192 bytes', tokenOfBytes(8192)],
    ['with a key id that no secret has', forge(CLAIMS, { ...HS256, kid: 'k' })],
    ['with a user id of 256 bytes', withClaims({ sub: 'ü'.repeat(128) })],
    ['with a negative nbf and iat', withClaims({ nbf: -1, iat: -1 })],
    ['with an iat in the future', withClaims({ iat: NOW + 9999 })],
    ['with nbf exactly the leeway away', withClaims({ nbf: NOW + LEEWAY })],
    ['with 100 roles', withClaims({ roles: listOf(100) })],
    ['with 1,000 channels', withClaims({ channels: Array(1000).fill('') })],
    ['with tenant_id null and tenancy on', withClaims({ tenant_id: null }), { tenancy: true }],
    ['with any tenant_id and tenancy off', withClaims({ tenant_id: 'not a name!' })],
    ['with aud when none is asked for', withClaims({ aud: 5 })],
    ['with iss of any type when none is asked for', withClaims({ iss: {} })],
    ['with the issuer asked for', withClaims({ iss: 'me' }), { issuer: 'me' }],
    ['with the audience asked for', withClaims({ aud: 'us' }), { audience: 'us' }],
    ['with the audience asked for in a list', withClaims({ aud: ['them', 'us'] }), { audience: 'us' }],
    ['with claims nobody knows', forge(`{"sub":"ann","exp":${NOW + 9},"jti":5,"__proto__":{"sub":5}}`)],
  ]
  test.each(accepted)('may be one %s', async (_, token, settings = {}) => {
    expect(await verify(token, settings)).toMatchObject({ ok: true, principal: { tenant: 'default' } })
  })

  test.each([
    ['HS384', 'sha384'],
    ['HS512', 'sha512'],
  ])('may be of %s', async (alg, hash) => {
    const token = seal(`${part({ alg })}.${part(CLAIMS)}`, SECRET, hash)
    expect(await verify(token, { algorithms: ['HS256', alg] })).toMatchObject({ ok: true })
  })

  test('is valid until the millisecond before exp + leeway', async () => {
    const clock = fakeClock()
    using tokens = await open({ clock })
    const token = withClaims({ exp: NOW })
    clock.wall = (NOW + LEEWAY) * 1000 - 1
    expect(await tokens.verify(token)).toMatchObject({ ok: true, principal: { expiresAt: NOW * 1000 } })
    clock.wall++
    expect(await tokens.verify(token)).toEqual({ ok: false, reason: 'expired' })
  })

  test('is valid from the millisecond of nbf - leeway', async () => {
    const clock = fakeClock()
    using tokens = await open({ clock })
    const token = withClaims({ nbf: NOW })
    clock.wall = (NOW - LEEWAY) * 1000 - 1
    expect(await tokens.verify(token)).toEqual({ ok: false, reason: 'not yet valid' })
    clock.wall++
    expect(await tokens.verify(token)).toMatchObject({ ok: true })
  })
})

const [RSA, STRANGER] = await Promise.all([
  generateKeyPair('RS256', { extractable: true }),
  generateKeyPair('ES256', { extractable: true }),
])
const RSA_PEM = await exportSPKI(RSA.publicKey)
const signWith = (key: CryptoKey, header: { alg: string; kid?: string; jwk?: JWK; jku?: string }) =>
  new SignJWT(CLAIMS).setProtectedHeader(header).sign(key)

describe('a token that is refused', () => {
  const good = forge(CLAIMS)
  const [head = '', body = '', mac = ''] = good.split('.')
  const shape = (claim: string) => `claim ${claim} is missing or of a wrong shape`
  const refused: [why: string, token: string, reason: string, settings?: Settings][] = [
    ['the empty string', '', 'malformed'],
    ['no token at all', 'hello', 'malformed'],
    ['two dots', '..', 'malformed'],
    ['two parts', `${head}.${body}`, 'malformed'],
    ['four parts', `${good}.${mac}`, 'malformed'],
    ['five parts, as encrypted ones have', `${good}..`, 'malformed'],
    ['8,193 bytes', tokenOfBytes(8193), 'malformed'],
    ['a blank before it', ` ${good}`, 'malformed'],
    ['a line break after it', `${good}\n`, 'malformed'],
    ['a padded signature', `${good}=`, 'malformed'],
    ['a padded payload', seal(`${head}.${part(CLAIMS).padEnd(48, '=')}=`), 'malformed'],
    ['stray bits in the signature', withStrayBits(good), 'malformed'],
    ['stray bits in the payload', seal(`${head}.${withStrayBits(part('{"sub":"ann"}'))}`), 'malformed'],
    ['stray bits in the header', seal(`${withStrayBits(part('{"alg":"HS256"} '))}.${body}`), 'malformed'],
    [
      'the other base64 alphabet',
      seal(`${head}.${Buffer.from('{"sub":"~~~???"}').toString('base64')}`),
      'malformed',
    ],
    ['a character that base64 skips', seal(`${head}.${body.slice(0, 4)}!${body.slice(4)}`), 'malformed'],
    ['a letter outside ASCII', `${good.slice(0, -1)}é`, 'malformed'],
    ['a header that is not JSON', forge(CLAIMS, '{'), 'malformed'],
    ['a header of null', forge(CLAIMS, null), 'malformed'],
    ['a header that is a list', forge(CLAIMS, ['HS256']), 'malformed'],
    ['a header with a byte order mark', forge(CLAIMS, '\ufeff{"alg":"HS256"}'), 'malformed'],
    ['a header without alg', forge(CLAIMS, { typ: 'JWT' }), 'malformed'],
    ['an alg that is no string', forge(CLAIMS, { alg: 256 }), 'malformed'],
    ['a kid that is no string', forge(CLAIMS, { ...HS256, kid: 5 }), 'malformed'],
    ['an unknown crit', forge(CLAIMS, { ...HS256, crit: ['exp'], exp: 1 }), 'malformed'],
    ['crit b64', forge(CLAIMS, { ...HS256, crit: ['b64'], b64: true }), 'malformed'],
    ['an empty crit', forge(CLAIMS, { ...HS256, crit: [] }), 'malformed'],
    ['crit null', forge(CLAIMS, { ...HS256, crit: null }), 'malformed'],
    ['alg none with a signature', forge(CLAIMS, { alg: 'none' }), 'algorithm not allowed'],
    ['alg none without one', `${part({ alg: 'none' })}.${body}.`, 'algorithm not allowed'],
    ['alg nOnE', `${part({ alg: 'nOnE' })}.${body}.`, 'algorithm not allowed'],
    [
      'alg none even if listed',
      `${part({ alg: 'none' })}.${body}.`,
      'signature',
      { algorithms: ['none', 'HS256'] },
    ],
    ['an empty alg', forge(CLAIMS, { alg: '' }), 'algorithm not allowed'],
    ['alg hs256', forge(CLAIMS, { alg: 'hs256' }), 'algorithm not allowed'],
    ['alg constructor', forge(CLAIMS, { alg: 'constructor' }), 'algorithm not allowed'],
    [
      'an algorithm not listed',
      seal(`${part({ alg: 'HS512' })}.${body}`, SECRET, 'sha512'),
      'algorithm not allowed',
    ],
    ['another secret', forge(CLAIMS, HS256, OTHER), 'signature'],
    ['the empty secret', forge(CLAIMS, HS256, ''), 'signature'],
    ['no signature', `${head}.${body}.`, 'signature'],
    ['a shortened signature', `${head}.${body}.${mac.slice(0, 20)}`, 'signature'],
    ['the signature of another payload', `${head}.${part({ ...CLAIMS, sub: 'bob' })}.${mac}`, 'signature'],
    ['the signature of another header', `${part({ ...HS256, typ: 'x' })}.${body}.${mac}`, 'signature'],
    ['a payload that is not JSON', forge('sub=ann'), shape('set')],
    ['an empty payload', forge(''), shape('set')],
    ['a payload of null', forge(null), shape('set')],
    ['a payload that is a text', forge('"ann"'), shape('set')],
    ['a payload that is a list', forge([CLAIMS]), shape('sub')],
    ['a payload that is not UTF-8', forge(Buffer.from('{"sub":"\xff","exp":1e10}', 'latin1')), shape('set')],
    ['a payload with a byte order mark', forge(`\ufeff${JSON.stringify(CLAIMS)}`), shape('set')],
    ['a payload nested beyond measure', forge('['.repeat(5000)), shape('set')],
    ['no sub', withClaims({ sub: undefined }), shape('sub')],
    ['sub as a number', withClaims({ sub: 5 }), shape('sub')],
    ['sub null', withClaims({ sub: null }), shape('sub')],
    ['an empty sub', withClaims({ sub: '' }), shape('sub')],
    ['sub of 257 bytes', withClaims({ sub: 'a'.repeat(257) }), shape('sub')],
    ['sub of 129 characters and 258 bytes', withClaims({ sub: 'ü'.repeat(129) }), shape('sub')],
    ['sub with U+0000', withClaims({ sub: 'a\u0000' }), shape('sub')],
    ['sub with a line break', withClaims({ sub: 'a\nb' }), shape('sub')],
    ['sub with U+007F', withClaims({ sub: 'a\u007f' }), shape('sub')],
    ['sub with U+009F', withClaims({ sub: 'a\u009f' }), shape('sub')],
    ['no exp', withClaims({ exp: undefined }), shape('exp')],
    ['exp null', withClaims({ exp: null }), shape('exp')],
    ['exp as a text', withClaims({ exp: String(NOW + 9) }), shape('exp')],
    ['exp without end', forge('{"sub":"ann","exp":1e400}'), shape('exp')],
    ['exp beyond what a number holds', forge('{"sub":"ann","exp":9007199254740993}'), shape('exp')],
    ['exp twice, the last one over', forge(`{"sub":"ann","exp":${NOW + 9},"exp":1}`), 'expired'],
    ['exp only within __proto__', forge(`{"sub":"ann","__proto__":{"exp":${NOW + 9}}}`), shape('exp')],
    ['exp longer ago than the leeway', withClaims({ exp: NOW - LEEWAY - 1 }), 'expired'],
    ['exp exactly the leeway ago', withClaims({ exp: NOW - LEEWAY }), 'expired'],
    ['nbf beyond the leeway', withClaims({ nbf: NOW + LEEWAY + 1 }), 'not yet valid'],
    ['nbf as a text', withClaims({ nbf: '1' }), shape('nbf')],
    ['iat as a text', withClaims({ iat: 'now' }), shape('iat')],
    ['roles as a text', withClaims({ roles: 'admin' }), shape('roles')],
    ['a role that is no text', withClaims({ roles: ['a', 5] }), shape('roles')],
    ['101 roles', withClaims({ roles: listOf(101) }), shape('roles')],
    ['tenant_id as a number', withClaims({ tenant_id: 5 }), shape('tenant_id')],
    ['tenant_id as an object', withClaims({ tenant_id: {} }), shape('tenant_id')],
    [
      'an empty tenant_id',
      withClaims({ tenant_id: '' }),
      'claim tenant_id is of a wrong shape',
      { tenancy: true },
    ],
    [
      'tenant_id a:b',
      withClaims({ tenant_id: 'a:b' }),
      'claim tenant_id is of a wrong shape',
      { tenancy: true },
    ],
    [
      'tenant_id with a line break',
      withClaims({ tenant_id: 'a\n' }),
      'claim tenant_id is of a wrong shape',
      { tenancy: true },
    ],
    [
      'tenant_id of 65',
      withClaims({ tenant_id: 'a'.repeat(65) }),
      'claim tenant_id is of a wrong shape',
      { tenancy: true },
    ],
    ['channels as a text', withClaims({ channels: '*' }), shape('channels')],
    ['channels null', withClaims({ channels: null }), shape('channels')],
    ['a channel that is no text', withClaims({ channels: [['*']] }), shape('channels')],
    ['1,001 channels', withClaims({ channels: Array(1001).fill('') }), shape('channels')],
    ['no iss', good, 'other issuer', { issuer: 'me' }],
    ['another iss', withClaims({ iss: 'you' }), 'other issuer', { issuer: 'me' }],
    ['iss in a list', withClaims({ iss: ['me'] }), 'other issuer', { issuer: 'me' }],
    ['no aud', good, 'other audience', { audience: 'us' }],
    ['another aud', withClaims({ aud: 'them' }), 'other audience', { audience: 'us' }],
    ['aud of which ours is a part', withClaims({ aud: 'us too' }), 'other audience', { audience: 'us' }],
    ['a list of other auds', withClaims({ aud: ['them', ['us']] }), 'other audience', { audience: 'us' }],
    ['an empty list of auds', withClaims({ aud: [] }), 'other audience', { audience: 'us' }],
  ]
  test.each(refused)('has %s', async (_, token, reason, settings = {}) => {
    expect(await verify(token, settings)).toEqual({ ok: false, reason })
  })

  test('uses the public key as a secret', async () => {
    const token = forge(CLAIMS, HS256, RSA_PEM)
    const both: Settings = { publicKey: RSA_PEM, algorithms: ['HS256', 'RS256'] }
    expect(await verify(token, both)).toEqual({ ok: false, reason: 'signature' })
    using withoutSecret = await createTokens({
      publicKey: RSA_PEM,
      algorithms: ['HS256', 'RS256'],
      leewaySeconds: LEEWAY,
      tenancy: false,
      clock: fakeClock(),
    })
    expect(await withoutSecret.verify(token)).toEqual({ ok: false, reason: 'signature' })
  })

  test('uses the secret under the name of a public key algorithm', async () => {
    const settings: Settings = { publicKey: RSA_PEM, algorithms: ['HS256', 'RS256'] }
    expect(await verify(forge(CLAIMS, { alg: 'RS256' }), settings)).toEqual({
      ok: false,
      reason: 'signature',
    })
  })

  test('brings its own key', async () => {
    const token = await signWith(STRANGER.privateKey, {
      alg: 'ES256',
      jwk: await exportJWK(STRANGER.publicKey),
    })
    expect(await verify(token, { algorithms: ['ES256'] })).toEqual({ ok: false, reason: 'signature' })
  })

  test('names a key URL, which the server never fetches', async () => {
    let visits = 0
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => new Response(`${visits++}`),
    })
    const token = await signWith(STRANGER.privateKey, { alg: 'ES256', jku: server.url.href })
    expect(await verify(token, { algorithms: ['ES256'] })).toEqual({ ok: false, reason: 'signature' })
    expect(visits).toBe(0)
  })

  test('is any random text', async () => {
    using tokens = await open()
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.base64String(), { maxLength: 4 }).map(parts => parts.join('.')),
    )
    await fc.assert(
      fc.asyncProperty(text, async token => expect((await tokens.verify(token)).ok).toBe(false)),
    )
  })

  test('has a correct signature and any random JSON', async () => {
    using tokens = await open({ tenancy: true })
    const claim = fc.oneof(fc.jsonValue(), fc.constant(NOW + 5), fc.constant('ann'))
    const any = fc.oneof(
      fc.jsonValue(),
      fc.record(
        { sub: claim, exp: claim, nbf: claim, roles: claim, tenant_id: claim, channels: claim },
        { requiredKeys: [] },
      ),
    )
    await fc.assert(
      fc.asyncProperty(any, async payload =>
        expect(await tokens.verify(forge(payload))).toHaveProperty('ok'),
      ),
    )
  })

  test('differs from a valid one in any single character', async () => {
    using tokens = await open()
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ '
    for (let at = 0; at < good.length; at++) {
      const letter = letters.charAt((letters.indexOf(good.charAt(at)) + 1 + (at % 60)) % letters.length)
      const token = good.slice(0, at) + letter + good.slice(at + 1)
      expect((await tokens.verify(token)).ok).toBe(false)
    }
  })

  test('leaves no part of its text in the reason', async () => {
    const marked = { alg: 'canary1', kid: 'canary2' }
    const reasons = await Promise.all([
      verify('canary3.canary4.canary5'),
      verify(forge(CLAIMS, marked)),
      verify(withClaims({ sub: ['canary6'], canary7: 1 })),
      verify(withClaims({ iss: 'canary8' }), { issuer: 'me' }),
    ])
    expect(JSON.stringify(reasons)).not.toContain('canary')
  })
})

/** Public key and token of a discarded P-256 key. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUItZAq69vHyHd6+YCAJK0aiN7CbkwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjMwNjA2NDFaGA8yMTI2MTAzMDA2MDY0
MVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHCv
MfPd4pLwzHlmM4NHpNjmpbpgRBvFqyrqb6fp5zaa/k8LeXiCwDtBClAWxKljUYOZ
IQx2/oFvaiqLdT33k6+jUzBRMB0GA1UdDgQWBBQ/Ui89+850eJ+fAZT1i5nvDV5Y
YDAfBgNVHSMEGDAWgBQ/Ui89+850eJ+fAZT1i5nvDV5YYDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIAyWR9q6myWMUp/sBXUb3Ch2LCApYnB9M41H
+3N3XUmXAiEAmDmtSVSAWkaj4lo4RJR4jMKWCRsw+BCgYxKKQDLJAgs=
-----END CERTIFICATE-----`
const CERTIFIED =
  'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3NTAwMDM2MDB9.l8CNvTJgm0Ly7cyspbN2Hn4eGJvd6bnFAkoA2-kNQuEPVgMkqzTnJMWgYgvBU7V72avdBMkt9YjW7lKc0oDShw'

describe('a public key', () => {
  const ALL = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
  const unfit = 'JWT_PUBLIC_KEY: expected PEM (SPKI or X.509) of a key that fits JWT_ALGORITHMS'

  test.each(ALL)('verifies %s', async alg => {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
    const settings: Settings = { publicKey: `\n${await exportSPKI(publicKey)}\n`, algorithms: ALL }
    expect(await verify(await signWith(privateKey, { alg }), settings)).toMatchObject({ ok: true })
    const other = await generateKeyPair(alg)
    expect(await verify(await signWith(other.privateKey, { alg }), settings)).toEqual({
      ok: false,
      reason: 'signature',
    })
  })

  test('may come in a certificate', async () => {
    const settings: Settings = { publicKey: CERTIFICATE, algorithms: ALL }
    expect(await verify(CERTIFIED, settings)).toMatchObject({ ok: true, principal: { user: 'ann' } })
  })

  test('does not verify an algorithm that is not listed', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS384', { extractable: true })
    const settings: Settings = { publicKey: await exportSPKI(publicKey), algorithms: ['RS256'] }
    const token = await signWith(privateKey, { alg: 'RS384' })
    expect(await verify(token, settings)).toEqual({ ok: false, reason: 'algorithm not allowed' })
  })

  test('without a matching algorithm stops the start, in one line without the key', () => {
    expect(open({ publicKey: RSA_PEM, algorithms: ['ES256', 'EdDSA'] })).rejects.toThrow(unfit)
    expect(open({ publicKey: 'no key', algorithms: ['RS256'] })).rejects.toThrow(unfit)
  })

  test('of fewer than 2,048 bits stops the start', async () => {
    const { publicKey } = await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        hash: 'SHA-256',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
      },
      true,
      ['sign', 'verify'],
    )
    expect(open({ publicKey: await exportSPKI(publicKey), algorithms: ['RS256'] })).rejects.toThrow(unfit)
  })

  test('is not required when only secrets are allowed', async () => {
    expect(await verify(forge(CLAIMS), { publicKey: RSA_PEM })).toMatchObject({ ok: true })
  })
})

const jwkOf = async ({ publicKey }: GenerateKeyPairResult, kid?: string): Promise<JWK> => ({
  ...(await exportJWK(publicKey)),
  ...(kid !== undefined && { kid }),
})

const [ann, bob] = await Promise.all([generateKeyPair('ES256'), generateKeyPair('ES256')])
const [ANN, BOB] = await Promise.all([jwkOf(ann, 'a'), jwkOf(bob, 'b')])
const byAnn = await signWith(ann.privateKey, { alg: 'ES256', kid: 'a' })
const byBob = await signWith(bob.privateKey, { alg: 'ES256', kid: 'b' })

describe('a key set', () => {
  const MINUTE = 60_000
  const DAY = 24 * 60 * MINUTE
  const NO_SET = { ok: false, reason: 'no key set' } as const
  const WRONG = { ok: false, reason: 'signature' } as const

  /** Key server that counts fetches when they begin; `answer` can be replaced at any time. */
  async function serve(keys: readonly JWK[]) {
    const state = { visits: 0, answer: (): Response | Promise<Response> => Response.json({ keys }) }
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => state.answer(),
    })
    const clock = fakeClock()
    let next = Promise.withResolvers<FetchResult>()
    const start = (settings: Settings = {}) =>
      open({
        algorithms: ['ES256'],
        jwksUrl: server.url,
        clock,
        fetch: (url, init) => {
          state.visits++
          return fetch(url, init)
        },
        onKeySet: fetched => {
          const { resolve } = next
          next = Promise.withResolvers()
          resolve(fetched)
        },
        ...settings,
      })
    return Object.assign(state, {
      clock,
      start,
      /** Result of the next fetch. */
      fetched: () => next.promise,
      show: (...shown: readonly JWK[]) => {
        state.answer = () => Response.json({ keys: shown })
      },
      [Symbol.asyncDispose]: () => server.stop(true),
    })
  }

  test('does not delay the start; tokens are refused until it arrives', async () => {
    await using keys = await serve([ANN])
    const gate = Promise.withResolvers<Response>()
    keys.answer = () => gate.promise
    using tokens = await keys.start()
    expect(await tokens.verify(byAnn)).toEqual(NO_SET)
    const fetched = keys.fetched()
    gate.resolve(Response.json({ keys: [ANN] }))
    expect(await fetched).toEqual({ ok: true })
    expect(await tokens.verify(byAnn)).toMatchObject({ ok: true })
    expect(keys.visits).toBe(1)
  })

  test('is fetched again for an unknown key id, so that a new key works at once and the old one stops working', async () => {
    await using keys = await serve([ANN])
    using tokens = await keys.start()
    await keys.fetched()
    keys.show(BOB)
    const both = await Promise.all([tokens.verify(byBob), tokens.verify(byBob)])
    expect(both).toMatchObject([{ ok: true }, { ok: true }])
    expect(keys.visits).toBe(2)
    expect(await tokens.verify(byAnn)).toEqual(WRONG)
  })

  test('is fetched at most once in 30 seconds for unknown key ids', async () => {
    await using keys = await serve([ANN])
    using tokens = await keys.start()
    await keys.fetched()
    const storm = async () => {
      const made = await Promise.all(listOf(50).map(kid => signWith(bob.privateKey, { alg: 'ES256', kid })))
      const answers = await Promise.all(made.map(token => tokens.verify(token)))
      expect(answers.every(answer => !answer.ok && answer.reason === 'signature')).toBe(true)
    }
    await storm()
    await storm()
    expect(keys.visits).toBe(2)
    keys.clock.span += 29_999
    await storm()
    expect(keys.visits).toBe(2)
    keys.clock.wall += DAY
    await tokens.verify(byBob)
    expect(keys.visits).toBe(2)
    keys.clock.wall -= 2 * DAY
    keys.clock.span += 1
    await storm()
    expect(keys.visits).toBe(3)
  })

  test('is not fetched more often when the fetch for an unknown key id fails', async () => {
    await using keys = await serve([ANN])
    using tokens = await keys.start()
    await keys.fetched()
    keys.answer = () => new Response('', { status: 503 })
    expect(await tokens.verify(byBob)).toEqual(WRONG)
    expect(keys.visits).toBe(2)
    keys.clock.span += 29_999
    expect(await tokens.verify(byBob)).toEqual(WRONG)
    expect(await tokens.verify(byAnn)).toMatchObject({ ok: true })
    expect(keys.visits).toBe(2)
  })

  test('is kept for 10 minutes and then replaced in the background', async () => {
    await using keys = await serve([ANN])
    using tokens = await keys.start()
    await keys.fetched()
    keys.show(BOB)
    keys.clock.span += 10 * MINUTE - 1
    expect(await tokens.verify(byAnn)).toMatchObject({ ok: true })
    expect(keys.visits).toBe(1)
    keys.clock.span += 1
    const fetched = awaitedLater(keys.fetched())
    await tokens.verify(byAnn)
    expect(await fetched).toEqual({ ok: true })
    expect(keys.visits).toBe(2)
    expect(await tokens.verify(byBob)).toMatchObject({ ok: true })
    expect(keys.visits).toBe(2)
  })

  test('is replaced by a timer without any token; the timer ends with the verifier', async () => {
    await using keys = await serve([ANN])
    const set = spyOn(globalThis, 'setInterval')
    const clear = spyOn(globalThis, 'clearInterval')
    const tokens = await keys.start()
    const [tick] = set.mock.calls[0] ?? []
    set.mockRestore()
    if (typeof tick !== 'function') throw new Error('no timer')
    await keys.fetched()
    keys.clock.span += 10 * MINUTE
    const fetched = keys.fetched()
    tick()
    tick()
    await fetched
    expect(keys.visits).toBe(2)
    tokens[Symbol.dispose]()
    expect(clear).toHaveBeenCalledTimes(1)
    clear.mockRestore()
    keys.clock.span += 10 * MINUTE
    tick()
    expect(keys.visits).toBe(2)
  })

  test('stays in use for 24 hours of outage, is retried, and recovers', async () => {
    await using keys = await serve([ANN])
    using tokens = await keys.start()
    await keys.fetched()
    const loadedAt = keys.clock.span
    keys.answer = () => new Response('', { status: 503 })
    /** Presents a token at this time: it starts the due fetch and is checked by the cached keys. */
    const at = async (ms: number) => {
      keys.clock.span = loadedAt + ms
      const fetched = awaitedLater(keys.fetched())
      const verified = await tokens.verify(byAnn)
      expect(await fetched).toEqual({ ok: false, reason: 'status 503' })
      return verified.ok
    }
    expect(await at(10 * MINUTE)).toBe(true)
    keys.clock.span += 999
    await tokens.verify(byAnn)
    expect(keys.visits).toBe(2)
    expect(await at(10 * MINUTE + 1000)).toBe(true)
    expect(keys.visits).toBe(3)
    expect(await at(DAY - 1)).toBe(true)
    const refusedAt = async (ms: number) => {
      keys.clock.span = loadedAt + ms
      return tokens.verify(byAnn)
    }
    expect(await refusedAt(DAY)).toEqual(NO_SET)
    keys.show(ANN)
    const fetched = awaitedLater(keys.fetched())
    await refusedAt(DAY + MINUTE)
    expect(await fetched).toEqual({ ok: true })
    expect(await tokens.verify(byAnn)).toMatchObject({ ok: true })
  })

  test('is retried after 1, 2, 4, 8, 16, 30 and 30 seconds, and again from 1 after a success', async () => {
    await using keys = await serve([])
    keys.answer = () => new Response('', { status: 500 })
    using tokens = await keys.start()
    await keys.fetched()
    /** Expects a fetch after exactly this time, and none a millisecond earlier. */
    const dueAfter = async (ms: number) => {
      const { visits } = keys
      keys.clock.span += ms - 1
      await tokens.verify(byAnn)
      expect(keys.visits).toBe(visits)
      keys.clock.span += 1
      const fetched = awaitedLater(keys.fetched())
      await tokens.verify(byAnn)
      expect(keys.visits).toBe(visits + 1)
      return (await fetched).ok
    }
    for (const seconds of [1, 2, 4, 8, 16, 30]) expect(await dueAfter(seconds * 1000)).toBe(false)
    keys.show(ANN)
    expect(await dueAfter(30_000)).toBe(true)
    keys.answer = () => new Response('', { status: 500 })
    expect(await dueAfter(10 * MINUTE)).toBe(false)
    expect(await dueAfter(1000)).toBe(false)
  })

  test.each<[string, () => Response, string]>([
    ['is not found', () => new Response('', { status: 404 }), 'status 404'],
    ['is elsewhere', () => Response.redirect('http://127.0.0.1:9/', 302), 'status 302'],
    ['is no set', () => Response.json({ ok: true }), 'JSON Web Key Set malformed'],
    [
      'is beyond a mebibyte',
      () => Response.json({ keys: [], pad: 'x'.repeat(1_048_576) }),
      'more than 1048576 bytes',
    ],
  ])('that %s is none', async (_, answer, reason) => {
    await using keys = await serve([])
    keys.answer = answer
    using tokens = await keys.start()
    expect(await keys.fetched()).toEqual({ ok: false, reason })
    expect(await tokens.verify(byAnn)).toEqual(NO_SET)
  })

  test('that is not JSON is rejected', async () => {
    await using keys = await serve([])
    keys.answer = () => new Response('<html>')
    using _ = await keys.start()
    expect(await keys.fetched()).toMatchObject({ ok: false })
  })

  test('may hold several keys for a token without key id', async () => {
    await using keys = await serve([await jwkOf(ann), BOB])
    using tokens = await keys.start()
    await keys.fetched()
    for (const { privateKey } of [ann, bob])
      expect(await tokens.verify(await signWith(privateKey, { alg: 'ES256' }))).toMatchObject({ ok: true })
    expect(await tokens.verify(await signWith(STRANGER.privateKey, { alg: 'ES256' }))).toEqual(WRONG)
    expect(keys.visits).toBe(1)
  })

  test('never supplies a secret', async () => {
    const shared: JWK = { kty: 'oct', k: Buffer.from(OTHER).toString('base64url'), kid: 'o' }
    await using keys = await serve([shared, await exportJWK(STRANGER.privateKey)])
    using tokens = await keys.start({ algorithms: ['HS256', 'ES256'] })
    await keys.fetched()
    expect(await tokens.verify(forge(CLAIMS, { ...HS256, kid: 'o' }, OTHER))).toEqual(WRONG)
    expect(keys.visits).toBe(1)
    expect(await tokens.verify(forge(CLAIMS))).toMatchObject({ ok: true })
    expect(await tokens.verify(await signWith(STRANGER.privateKey, { alg: 'ES256' }))).toEqual(WRONG)
  })

  test('works beside a public key', async () => {
    await using keys = await serve([])
    const gate = Promise.withResolvers<Response>()
    keys.answer = () => gate.promise
    using tokens = await keys.start({ publicKey: await exportSPKI(STRANGER.publicKey) })
    expect(await tokens.verify(await signWith(STRANGER.privateKey, { alg: 'ES256' }))).toMatchObject({
      ok: true,
    })
    expect(await tokens.verify(byAnn)).toEqual(NO_SET)
    const fetched = keys.fetched()
    gate.resolve(Response.json({ keys: [ANN] }))
    await fetched
    expect(await tokens.verify(byAnn)).toMatchObject({ ok: true })
  })

  test('is not fetched after disposal, and no failure is reported', async () => {
    const asked = Promise.withResolvers<AbortSignal>()
    const aborted = Promise.withResolvers<void>()
    const told: FetchResult[] = []
    const tokens = await open({
      algorithms: ['ES256'],
      jwksUrl: 'http://keys.invalid/',
      fetch: (_, { signal }) => {
        asked.resolve(signal)
        const answer = Promise.withResolvers<Response>()
        signal.addEventListener('abort', () => {
          answer.reject(signal.reason)
          aborted.resolve()
        })
        return answer.promise
      },
      onKeySet: fetched => void told.push(fetched),
    })
    const signal = await asked.promise
    tokens[Symbol.dispose]()
    await aborted.promise
    expect(signal.aborted).toBe(true)
    expect(await tokens.verify(byAnn)).toEqual(NO_SET)
    expect(told).toEqual([])
  })
})

describe('a token made for the development start', () => {
  test('is accepted until it expires', async () => {
    const clock = fakeClock()
    const token = await signToken({ secret: SECRET, user: 'demo', seconds: 86_400, clock })
    expect(await verify(token, { clock })).toEqual({
      ok: true,
      principal: {
        user: 'demo',
        tenant: 'default',
        roles: [],
        expiresAt: (NOW + 86_400) * 1000,
        issuedAt: NOW,
      },
    })
    clock.wall += (86_400 + LEEWAY) * 1000
    expect(await verify(token, { clock })).toEqual({ ok: false, reason: 'expired' })
  })

  test('may name a tenant', async () => {
    const clock = fakeClock()
    const token = await signToken({ secret: SECRET, user: 'demo', tenant: 'acme', seconds: 60, clock })
    expect(await verify(token, { clock, tenancy: true })).toMatchObject({ principal: { tenant: 'acme' } })
  })
})

describe('the token of a request', () => {
  const find = (search: string, authorization: string | null = null, protocols: string | null = null) =>
    tokenOf({ query: new URLSearchParams(search), authorization, protocols })

  test('is missing if no place has one', () => {
    expect(find('cursor=1')).toEqual({})
  })

  test('comes from the query, then the header, then the subprotocol', () => {
    expect(find('token=q', 'Bearer h', 'bearer, p')).toEqual({ token: 'q' })
    expect(find('', 'Bearer h', 'bearer, p')).toEqual({ token: 'h' })
    expect(find('', null, 'bearer, p')).toEqual({ token: 'p', subprotocol: 'bearer' })
  })

  test('is present if the query has an empty one', () => {
    expect(find('token=', 'Bearer h')).toEqual({ token: '' })
    expect(find('token', 'Bearer h')).toEqual({ token: '' })
  })

  test('is repeated if the query has two, even equal ones', () => {
    expect(find('token=q&token=q', 'Bearer h')).toEqual({ repeated: true })
    expect(find('token=&token=')).toEqual({ repeated: true })
  })

  test('follows the scheme Bearer, in any case, and one blank or more', () => {
    expect(find('', 'Bearer  h ')).toEqual({ token: 'h ' })
    expect(find('', 'Bearer ')).toEqual({ token: '' })
    for (const header of ['bearer h', 'BEARER h']) expect(find('', header)).toEqual({ token: 'h' })
    for (const header of ['Bearer', 'Bearer\th', ' Bearer h', 'Basic h', 'Bearerh'])
      expect(find('', header)).toEqual({})
  })

  test('is the second of exactly two subprotocols of which the first is bearer', () => {
    expect(find('', 'Basic x', 'bearer,p')).toEqual({ token: 'p', subprotocol: 'bearer' })
    for (const header of ['', 'bearer', 'p', 'p, bearer', 'Bearer, p', 'json, bearer, p', 'bearer, p, json'])
      expect(find('', null, header)).toEqual({})
  })
})
