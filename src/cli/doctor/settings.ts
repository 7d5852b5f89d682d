import { type Config, type Environment, loadConfig } from '../../config/config.ts'
import { errorLine } from '../../lib/error-line.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

interface CheckedSettings {
  readonly findings: readonly Finding[]
  /** Undefined if the service would refuse to start. */
  readonly config: Config | undefined
}

const LOG_OFF = /^QUEUE_ENABLED and ACK_ENABLED are false/

/** Tells whether users who are away get their notifications later, and whether a restart loses them. */
function checkLog({ production, queueEnabled, ackEnabled, storeUrl }: Config): Finding {
  if (!queueEnabled && !ackEnabled)
    return production
      ? warn('log', 'off: notifications for users who are away are dropped', 'set QUEUE_ENABLED=true')
      : ok('log', 'off (set QUEUE_ENABLED=true to keep notifications for users who are away)')
  if (storeUrl.kind !== 'memory') return ok('log', `on, in ${storeUrl.kind}`)
  return production
    ? warn('log', 'on, in memory: a restart loses it', 'set STORE_URL=sqlite:<path> or a Redis')
    : ok('log', 'on, in memory: a restart loses it')
}

/** The setting that a warning begins with. */
const nameIn = (warning: string): string => /^[A-Z][A-Z0-9_]+/.exec(warning)?.[0] ?? 'it'

/** A generated secret ends with the process, and the tokens with it. */
const checkSecret = ({ madeSecret }: Config): readonly Finding[] =>
  madeSecret
    ? [
        warn(
          'settings',
          'JWT_SECRET is unset: a restart invalidates all tokens',
          'set it to 32 random bytes or more',
        ),
      ]
    : []

/** Loads the settings as the service does. */
export function checkSettings(env: Environment): CheckedSettings {
  try {
    const { config, warnings } = loadConfig(env)
    const relevant = warnings.filter(warning => !LOG_OFF.test(warning))
    const mode = config.production ? 'production' : 'development'
    return {
      config,
      findings: [
        ok('settings', `the service starts with them, in ${mode} mode`),
        ...relevant.map(warning =>
          warn('settings', warning, `correct ${nameIn(warning)} (see docs/SETTINGS.md)`),
        ),
        ...checkSecret(config),
        checkLog(config),
      ],
    }
  } catch (error) {
    const advice = 'correct this setting: the service refuses to start'
    return { config: undefined, findings: [fail('settings', errorLine(error), advice)] }
  }
}
