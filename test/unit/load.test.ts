import { describe, expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import fc from 'fast-check'
import { checkInputs, wishOf } from '../../k6/arguments.ts'
import { addressesOf, readInputs } from '../../k6/lib/inputs.ts'
import { createLedger } from '../../k6/lib/ledger.ts'
import { lifeOf } from '../../k6/lib/life.ts'
import { PROFILES, plannedRequests, totalSeconds } from '../../k6/lib/profiles.ts'
import { THRESHOLDS } from '../../k6/lib/thresholds.ts'
import { type Primitives, signToken, subjectOf } from '../../k6/lib/token.ts'
import { PROOFS } from '../../k6/proofs.ts'
import { createTokens } from '../../src/auth/jwt.ts'
import { systemClock } from '../../src/lib/time/clock.ts'

const SECRET = 'a-secret-for-tests-of-at-least-32-bytes'

/** Replaces the functions of k6 by those of Bun. */
const primitives: Primitives = {
  base64url: text => Buffer.from(text).toString('base64url'),
  hmac: (secret, text) => createHmac('sha256', secret).update(text).digest('base64url'),
  decode: text => Buffer.from(text, 'base64url').toString(),
}

describe('profiles', () => {
  // connections, requests/s, hold, ramp up, ramp down
  const rows = {
    smoke: [10, 10, 30, 10, 10],
    baseline: [100, 50, 120, 30, 30],
    medium: [500, 100, 180, 60, 30],
    high: [1_000, 200, 300, 60, 30],
    stress: [2_000, 500, 300, 120, 60],
    soak: [500, 50, 1_800, 120, 120],
    spike: [100, 1_000, 60, 5, 30],
  }

  test('are seven, with these figures', () => {
    const figures = Object.entries(PROFILES).map(([name, profile]) => [
      name,
      [
        profile.connections,
        profile.requestsPerSecond,
        profile.holdSeconds,
        profile.rampUpSeconds,
        profile.rampDownSeconds,
      ],
    ])
    expect(Object.fromEntries(figures)).toEqual(rows)
  })

  test('count both ramps as half their time', () => {
    expect(plannedRequests(PROFILES.smoke)).toBe(400)
    expect(totalSeconds(PROFILES.smoke)).toBe(50)
  })
})

describe('the life of a client', () => {
  for (const [name, profile] of Object.entries(PROFILES)) {
    const lives = Array.from({ length: profile.connections }, (_, index) => lifeOf(index, profile))

    test(`${name}: all connect while it ramps up, are there for the hold and leave while it ramps down`, () => {
      const holdEnds = (profile.rampUpSeconds + profile.holdSeconds) * 1000
      expect(lives.every(({ connectAt }) => connectAt >= 0 && connectAt < profile.rampUpSeconds * 1000)).toBe(
        true,
      )
      expect(
        lives.every(({ leaveAt }) => leaveAt >= holdEnds && leaveAt < totalSeconds(profile) * 1000),
      ).toBe(true)
    })

    test(`${name}: some talk, some are silent, some come back during the hold`, () => {
      const [up, end] = [profile.rampUpSeconds * 1000, (profile.rampUpSeconds + profile.holdSeconds) * 1000]
      const resuming = lives.filter(({ role }) => role === 'resuming')
      expect(new Set(lives.map(({ role }) => role)).size).toBe(3)
      expect(resuming.every(({ resumeAt = 0 }) => resumeAt > up && resumeAt < end)).toBe(true)
      expect(lives.filter(({ resumeAt }) => resumeAt !== undefined)).toEqual(resuming)
    })
  }
})

describe('thresholds', () => {
  test('have these figures for each scenario', () => {
    const { websocket, http, batch, e2e } = THRESHOLDS
    const profile = PROFILES.smoke
    expect(websocket(profile)).toMatchObject({
      connect_success: ['rate>0.95'],
      message_latency: ['p(95)<100', 'p(99)<500'],
    })
    expect(http(profile)).toMatchObject({
      request_success: ['rate>0.99'],
      request_duration: ['p(95)<50', 'p(99)<100'],
    })
    expect(batch(profile)).toMatchObject({
      request_success: ['rate>0.98'],
      request_duration: ['p(95)<200', 'p(99)<500'],
    })
    expect(e2e(profile)).toMatchObject({ message_latency: ['p(95)<200', 'p(99)<500'] })
  })

  test('allow no lost, repeated or reordered notification, and require the ledger of every user', () => {
    for (const of of [THRESHOLDS.websocket, THRESHOLDS.e2e])
      expect(of(PROFILES.baseline)).toMatchObject({
        lost: ['count==0'],
        repeated: ['count==0'],
        out_of_order: ['count==0'],
        users_settled: ['count>=100'],
      })
  })

  for (const [scenario, of] of Object.entries(THRESHOLDS))
    test(`${scenario}: what has no sample passes nothing`, () => {
      const thresholds = of(PROFILES.smoke)
      // k6 passes a rate or trend without samples, and a counter that must be zero.
      const counted = (name: string) => /^count>=?[0-9]+$/.test(thresholds[name]?.[0] ?? '')
      const companion: Record<string, string> = {
        request_duration: 'request_success_samples',
        lost: 'users_settled',
        repeated: 'users_settled',
        out_of_order: 'users_settled',
        disconnected: 'users_settled',
      }
      const unguarded = Object.keys(thresholds).filter(
        name => !(counted(name) || counted(`${name}_samples`) || counted(companion[name] ?? '')),
      )
      expect(unguarded).toEqual([])
    })

  test('each have a fault that must fail it', () => {
    const unproven = Object.entries(THRESHOLDS).flatMap(([scenario, of]) => {
      const crossed = PROOFS[scenario as keyof typeof PROOFS].flatMap(({ crosses }) => crosses)
      const names = Object.entries(of(PROFILES.smoke)).flatMap(([name, expressions]) =>
        expressions.map(expression => `${name} ${expression}`),
      )
      return names.filter(name => !crossed.some(each => name.startsWith(each)))
    })
    expect(unproven).toEqual([])
  })
})

describe('tokens', () => {
  const tokens = () =>
    createTokens({
      secret: SECRET,
      algorithms: ['HS256'],
      leewaySeconds: 60,
      tenancy: false,
      clock: systemClock,
    })
  const exp = Math.floor(Date.now() / 1000) + 60

  test('signed for the service are accepted', async () => {
    using service = await tokens()
    const token = signToken({ sub: 'k6-мир-1', exp }, SECRET, primitives)
    expect(await service.verify(token)).toEqual({
      ok: true,
      principal: { user: 'k6-мир-1', tenant: 'default', roles: [], expiresAt: exp * 1000 },
    })
  })

  test('signed with another secret are rejected', async () => {
    using service = await tokens()
    const token = signToken({ sub: 'a', exp }, `${SECRET}!`, primitives)
    expect(await service.verify(token)).toEqual({ ok: false, reason: 'signature' })
  })

  test('reveal their user, and any other text is rejected', () => {
    expect(subjectOf(signToken({ sub: 'u-7', exp }, SECRET, primitives), primitives)).toBe('u-7')
    expect(() => subjectOf('none', primitives)).toThrow()
    expect(() => subjectOf(`e30.${primitives.base64url('{}')}.x`, primitives)).toThrow('JWT_TOKEN')
  })
})

describe('the ledger of a user', () => {
  test('does not miss a notification that arrives before the answer to its send', () => {
    const ledger = createLedger()
    const n = ledger.issue()
    expect([n, ledger.received(n)]).toEqual([1, 'new'])
    ledger.accepted(n)
    expect(ledger.missing()).toBe(0)
  })

  test('misses an accepted notification that does not arrive, but not a rejected one', () => {
    const ledger = createLedger()
    const accepted = ledger.issue()
    ledger.issue()
    ledger.accepted(accepted)
    expect(ledger.missing()).toBe(1)
  })

  test('distinguishes a repeat from a reordered notification', () => {
    const ledger = createLedger()
    expect([1, 3, 2, 3, 2].map(ledger.received)).toEqual([
      'new',
      'new',
      'out_of_order',
      'repeated',
      'repeated',
    ])
  })

  test('counts, for any numbers, one repeat per copy and one order fault per step back', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 12 })), numbers => {
        const ledger = createLedger()
        const told = numbers.map(ledger.received)
        const firsts = [...new Set(numbers)]
        const back = firsts.filter((n, at) => firsts.slice(0, at).some(before => before > n))
        expect(told.filter(each => each === 'repeated').length).toBe(numbers.length - firsts.length)
        expect(told.filter(each => each === 'out_of_order').length).toBe(back.length)
      }),
    )
  })
})

describe('the address of the service', () => {
  const rows: [env: Record<string, string>, apiUrl: string, wsUrl: string][] = [
    [{ HOST: 'localhost:8081' }, 'http://localhost:8081', 'ws://localhost:8081'],
    [{ HOST: 'https://a.test/' }, 'https://a.test', 'wss://a.test'],
    [{ HOST: 'wss://a.test/notify' }, 'https://a.test/notify', 'wss://a.test/notify'],
    [{ HOST: 'a:1', WS_HOST: 'wss://b' }, 'http://a:1', 'wss://b'],
    [{ HOST: 'a:1', API_HOST: 'http://b:2' }, 'http://b:2', 'ws://a:1'],
    [{ API_HOST: 'b:2' }, 'http://b:2', 'ws://b:2'],
    [{ WS_HOST: 'ws://[::1]:3' }, 'http://[::1]:3', 'ws://[::1]:3'],
  ]
  for (const [env, apiUrl, wsUrl] of rows)
    test(`${JSON.stringify(env)} is ${apiUrl} and ${wsUrl}`, () => {
      expect(addressesOf(env)).toEqual({ apiUrl, wsUrl })
    })

  test('is undefined without a host, so that one is started', () => {
    expect(addressesOf({ HOST: '', API_KEY: 'k' })).toBeUndefined()
  })

  test('is rejected if it is not a host', () => {
    expect(() => addressesOf({ HOST: 'ftp://a b' })).toThrow('HOST')
  })
})

describe('a command line', () => {
  test('names a scenario by its present or former name', () => {
    const pairs = [
      ['websocket', 'ws'],
      ['http', 'http-api'],
      ['batch', 'batch-api'],
      ['e2e', 'e2e-load'],
    ] as const
    for (const [name, alias] of pairs)
      for (const given of [name, alias])
        expect(wishOf([given, 'smoke'], {})).toEqual({ scenarios: [name], profile: 'smoke' })
  })

  test('runs all four scenarios for `all`', () => {
    expect(wishOf(['all', 'soak'], {}).scenarios).toEqual(['websocket', 'http', 'batch', 'e2e'])
  })

  test('uses the given profile, else PROFILE, else baseline', () => {
    expect(wishOf(['ws', 'high'], { PROFILE: 'soak' }).profile).toBe('high')
    expect(wishOf(['ws'], { PROFILE: 'soak' }).profile).toBe('soak')
    expect(wishOf(['ws'], {}).profile).toBe('baseline')
  })

  for (const args of [
    [],
    ['wss'],
    ['toString'],
    ['ws', 'proof'],
    ['ws', 'constructor'],
    ['ws', 'smoke', 'more'],
  ])
    test(`[${args}] is answered by the usage`, () => {
      expect(() => wishOf(args, {})).toThrow('usage: bun run load')
    })
})

describe('inputs', () => {
  const env = { HOST: 'a:1', PROFILE: 'smoke' }

  test('have defaults', () => {
    expect(readInputs(env)).toEqual({
      apiUrl: 'http://a:1',
      wsUrl: 'ws://a:1',
      apiKey: undefined,
      jwtToken: undefined,
      jwtSecret: undefined,
      channels: ['k6-1', 'k6-2', 'k6-3'],
      batchSize: 10,
      profile: PROFILES.smoke,
    })
  })

  test('name each channel once', () => {
    expect(readInputs({ ...env, CHANNELS: 'a, b,a' }).channels).toEqual(['a', 'b'])
  })

  const refused: [name: string, value: string][] = [
    ['BATCH_SIZE', '0'],
    ['BATCH_SIZE', '101'],
    ['BATCH_SIZE', 'ten'],
    ['CHANNELS', 'a,,b'],
    ['PROFILE', 'huge'],
    ['HOST', ' '],
  ]
  for (const [name, value] of refused)
    test(`${name}=${value} is refused by name`, () => {
      expect(() => readInputs({ ...env, [name]: value })).toThrow(name)
    })

  test('require a secret or a token only for scenarios with clients', () => {
    const check = (scenario: string, more = {}) =>
      checkInputs(wishOf([scenario, 'smoke'], {}), { ...env, ...more })
    expect(() => check('ws')).toThrow('JWT_SECRET')
    expect(() => check('all')).toThrow('JWT_SECRET')
    expect(() => check('ws', { JWT_TOKEN: 't' })).not.toThrow()
    expect(() => check('e2e', { JWT_SECRET: 's' })).not.toThrow()
    expect(() => check('http')).not.toThrow()
  })
})

describe('`bun run load` reports a missing requirement in one line', () => {
  const ROOT = join(import.meta.dir, '../..')
  const rows: [args: string[], env: Record<string, string>, line: string][] = [
    [['ws', 'gigantic'], {}, 'usage: bun run load'],
    [['ws', 'smoke'], { JWT_TOKEN: 't' }, 'JWT_SECRET: '],
    [['ws', 'smoke'], { HOST: '127.0.0.1:1' }, 'JWT_SECRET: '],
    [['http', 'smoke'], { BATCH_SIZE: '1000' }, 'BATCH_SIZE: '],
    // The port has no listener.
    [['http', 'smoke'], { HOST: '127.0.0.1:1' }, 'HOST: '],
  ]
  for (const [args, env, line] of rows)
    test(`${args.join(' ')} with ${JSON.stringify(env)}`, async () => {
      const run = Bun.spawn([process.execPath, '--no-env-file', 'k6/load.ts', ...args], {
        cwd: ROOT,
        env,
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const [out, err, code] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited])
      expect([out, err.trimEnd().split('\n').length, code]).toEqual(['', 1, 1])
      expect(err).toStartWith(line)
    })
})
