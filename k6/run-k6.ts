import { join } from 'node:path'
import type { Environment } from './lib/inputs.ts'
import { profileOf, totalSeconds } from './lib/profiles.ts'
import type { Scenario } from './lib/thresholds.ts'

/** Extra time beyond the profile: k6 first creates virtual users and waits for the last. */
const SPARE_SECONDS = 120
/** Environment of a scenario and of the program. */
const TOLD = ['JWT_TOKEN', 'JWT_SECRET', 'API_KEY', 'HOST', 'API_HOST', 'WS_HOST', 'CHANNELS', 'BATCH_SIZE']
const NEEDED = ['PATH', 'HOME', 'NO_COLOR', 'TERM']

interface RunOptions {
  readonly k6: string
  readonly scenario: Scenario
  readonly profile: string
  readonly env: Environment
  /** Flags for k6. */
  readonly flags?: readonly string[]
  /** True to show the output of k6. */
  readonly shown: boolean
}

/** Exit code of k6 after a stop. */
export const INTERRUPTED = 105

/**
 * Runs one scenario; resolves with k6's exit code (99: a threshold failed). Passes on SIGTERM, so that k6 stops
 * and reports; a terminal sends SIGINT to k6 directly.
 */
export async function runK6({ k6, scenario, profile, env, flags = [], shown }: RunOptions): Promise<number> {
  const script = join(import.meta.dir, 'scenarios', `${scenario}.ts`)
  const own = Object.fromEntries([...NEEDED, ...TOLD].map(name => [name, env[name]]))
  const output = shown ? 'inherit' : 'ignore'
  const limit = profileOf(profile)
  const child = Bun.spawn([k6, 'run', '--address', '', ...flags, script], {
    env: {
      ...own,
      PROFILE: profile,
      K6_NO_USAGE_REPORT: 'true',
      K6_AUTO_EXTENSION_RESOLUTION: 'false',
    },
    stdin: 'ignore',
    stdout: output,
    stderr: output,
    timeout: ((limit === undefined ? 0 : totalSeconds(limit)) + SPARE_SECONDS) * 1000,
    killSignal: 'SIGINT',
  })
  let told = false
  const passOn = () => {
    // A second signal would make k6 exit without a report.
    if (!told) child.kill('SIGINT')
    told = true
  }
  const leaveIt = () => {}
  process.on('SIGTERM', passOn).on('SIGINT', leaveIt)
  try {
    return await child.exited
  } finally {
    process.off('SIGTERM', passOn).off('SIGINT', leaveIt)
  }
}
