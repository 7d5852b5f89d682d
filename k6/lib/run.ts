import { hmac } from 'k6/crypto'
import { b64decode, b64encode } from 'k6/encoding'
import exec from 'k6/execution'
import type { Options, Scenario } from 'k6/options'
import { type ClientOptions, startClient } from './client.ts'
import type { Inputs } from './inputs.ts'
import { lifeOf } from './life.ts'
import { type Profile, totalSeconds } from './profiles.ts'
import { type Claims, type Primitives, signToken, subjectOf } from './token.ts'

/** Data from `setup` to every virtual user. */
export interface Run {
  readonly run: string
}

/** Name of this run, which makes its users and notifications unique. */
export const newRun = (): Run => ({ run: Date.now().toString(36) })

const TREND_STATS = ['med', 'p(95)', 'p(99)', 'max']

export const optionsOf = (
  scenarios: Record<string, Scenario>,
  thresholds: Record<string, string[]>,
): Options => ({ scenarios, thresholds, summaryTrendStats: TREND_STATS })

/** Extra time to close ledgers before k6 interrupts virtual users. */
const SPARE_SECONDS = 30
const TOKEN_SPARE_SECONDS = 3_600

const primitives: Primitives = {
  base64url: text => b64encode(text, 'rawurl'),
  hmac: (secret, text) => hmac('sha256', secret, text, 'base64rawurl'),
  decode: text => b64decode(text, 'rawurl', 's'),
}

/** One virtual user per connection for the whole run; each computes its own schedule. */
export const clientsOf = (profile: Profile): Scenario => ({
  executor: 'per-vu-iterations',
  exec: 'client',
  vus: profile.connections,
  iterations: 1,
  maxDuration: `${totalSeconds(profile) + SPARE_SECONDS}s`,
  gracefulStop: '0s',
})

/** Seconds of requests that may be in flight; virtual users for them start at once. */
const MAX_AT_ONCE_SECONDS = 1
const READY_PART = 0.1
const LEAST_READY = 10

/** Open-loop requests: the rate does not depend on answers. */
export function arrivalsOf(profile: Profile): Scenario {
  const { requestsPerSecond: target, rampUpSeconds, holdSeconds, rampDownSeconds } = profile
  return {
    executor: 'ramping-arrival-rate',
    exec: 'request',
    startRate: 0,
    timeUnit: '1s',
    preAllocatedVUs: Math.max(LEAST_READY, Math.ceil(target * READY_PART)),
    maxVUs: target * MAX_AT_ONCE_SECONDS,
    stages: [
      { target, duration: `${rampUpSeconds}s` },
      { target, duration: `${holdSeconds}s` },
      { target: 0, duration: `${rampDownSeconds}s` },
    ],
  }
}

function userOf({ jwtToken, jwtSecret, profile }: Inputs, { run }: Run, index: number) {
  if (jwtToken !== undefined) return { user: subjectOf(jwtToken, primitives), token: jwtToken }
  if (jwtSecret === undefined) throw new Error('JWT_SECRET: expected the secret of the service, or JWT_TOKEN')
  const user = `k6-${run}-${index}`
  const exp = Math.floor(Date.now() / 1000) + totalSeconds(profile) + TOKEN_SPARE_SECONDS
  const claims: Claims = { sub: user, exp }
  return { user, token: signToken(claims, jwtSecret, primitives) }
}

/** Only iteration of a virtual user: a client from first to last connection. */
export function liveClient(
  inputs: Inputs,
  run: Run,
  options: Pick<ClientOptions, 'sendEveryMs' | 'acknowledges'>,
): void {
  const index = exec.scenario.iterationInTest
  startClient({
    inputs,
    ...run,
    ...userOf(inputs, run, index),
    index,
    life: lifeOf(index, inputs.profile),
    startedAt: exec.scenario.startTime,
    ...options,
  })
}
