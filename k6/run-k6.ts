import { join } from 'node:path'
import type { Environment } from './lib/inputs.ts'
import { profileOf, totalSeconds } from './lib/profiles.ts'
import type { Scenario } from './lib/thresholds.ts'

/** Beyond the profile's own time: k6 makes its virtual users first, and waits for the last ones. */
const SPARE_SECONDS = 120
/** What a scenario is told, and what a program needs. */
const TOLD = ['JWT_TOKEN', 'JWT_SECRET', 'API_KEY', 'HOST', 'API_HOST', 'WS_HOST', 'CHANNELS', 'BATCH_SIZE']
const NEEDED = ['PATH', 'HOME', 'NO_COLOR', 'TERM']

interface RunOptions {
  readonly k6: string
  readonly scenario: Scenario
  readonly profile: string
  readonly env: Environment
  /** Flags for k6. */
  readonly flags?: readonly string[]
  /** Whether what k6 prints is shown. */
  readonly shown: boolean
}

/** What k6 exits with when it was told to stop. */
export const INTERRUPTED = 105

/**
 * Runs one scenario; resolves with k6's exit code (99: a threshold was crossed). A SIGTERM meanwhile is passed on, so that k6 stops
 * and tells what it has; a SIGINT from a terminal it gets by itself.
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
    // At a second one k6 would not even tell what it has.
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
