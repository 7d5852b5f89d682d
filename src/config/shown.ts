import { type Config, camel, type Environment } from './config.ts'
import { SETTINGS, type Setting } from './settings.ts'

/** Without what stands before the host and behind the path of an address, however odd that is. */
const withoutSecrets = (text: string): string =>
  text.replace(/^([a-z][a-z0-9+.-]*:\/\/)(?:.*@)?([^?#]*).*$/is, '$1$2')

const isTold = (value: unknown): value is string | number | boolean | readonly string[] =>
  Array.isArray(value)
    ? value.every(item => typeof item === 'string')
    : ['string', 'number', 'boolean'].includes(typeof value)

/**
 * The settings in effect, by name, for a log line: as they were written, else what an unset one became. Of a hidden one only
 * that it is `set`; of an address neither user nor password nor query.
 */
export function shownSettings(env: Environment, config: Config): Readonly<Record<string, string>> {
  const known: Readonly<Record<string, unknown>> = { ...config }
  const shown = ([name, { hidden, mayBeEmpty, default: usual }]: [string, Setting]): string | undefined => {
    const became = known[camel(name)]
    if (hidden) return env[name] ? 'set' : undefined
    const written = (mayBeEmpty ? env[name] : env[name] || undefined) ?? usual
    return written ?? (isTold(became) ? String(became) || undefined : undefined)
  }
  return Object.fromEntries(
    Object.entries<Setting>(SETTINGS).flatMap(row => {
      const text = shown(row)
      return text === undefined ? [] : [[row[0], withoutSecrets(text)]]
    }),
  )
}
