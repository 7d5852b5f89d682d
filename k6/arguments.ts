import { type Environment, readInputs } from './lib/inputs.ts'
import { isProfile, PROFILES, type ProfileName } from './lib/profiles.ts'
import { type Scenario, THRESHOLDS } from './lib/thresholds.ts'

const ALIASES: Readonly<Record<string, Scenario>> = {
  ws: 'websocket',
  'http-api': 'http',
  'batch-api': 'batch',
  'e2e-load': 'e2e',
}
const SCENARIOS = Object.keys(THRESHOLDS).filter(isScenario)
const DEFAULT_PROFILE = 'baseline'

const USAGE = `usage: bun run load <${[...SCENARIOS, 'all'].join('|')}> [${Object.keys(PROFILES).join('|')}]`

/** Command line of `bun run load`. */
export interface Wish {
  readonly scenarios: readonly Scenario[]
  readonly profile: ProfileName
}

function isScenario(name: string): name is Scenario {
  return Object.hasOwn(THRESHOLDS, name)
}

/** Reads the arguments; PROFILE is the default profile. Throws an error of one line. */
export function wishOf(args: readonly string[], env: Environment): Wish {
  const [scenario = '', profile = env['PROFILE'] || DEFAULT_PROFILE, ...more] = args
  if (!isProfile(profile) || more.length > 0) throw new Error(USAGE)
  if (scenario === 'all') return { scenarios: SCENARIOS, profile }
  const name = Object.hasOwn(ALIASES, scenario) ? ALIASES[scenario] : scenario
  if (name === undefined || !isScenario(name)) throw new Error(USAGE)
  return { scenarios: [name], profile }
}

/** Scenarios whose clients need tokens. */
const WITH_CLIENTS: readonly Scenario[] = ['websocket', 'e2e']

/** Checks that the environment describes a running service completely. Throws an error of one line. */
export function checkInputs({ scenarios, profile }: Wish, env: Environment): void {
  const { jwtToken, jwtSecret } = readInputs({ ...env, PROFILE: profile })
  if (
    jwtToken === undefined &&
    jwtSecret === undefined &&
    scenarios.some(name => WITH_CLIENTS.includes(name))
  )
    throw new Error(
      'JWT_SECRET: expected the secret of the service, or in JWT_TOKEN one token for all clients',
    )
}
