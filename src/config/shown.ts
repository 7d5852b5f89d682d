import { type Config, camel, type Environment } from './config.ts'
import { SETTINGS, type Setting } from './settings.ts'

/** Removes user, password, query and fragment from an address, even a malformed one. */
const withoutSecrets = (text: string): string =>
  text.replace(/^([a-z][a-z0-9+.-]*:\/\/)(?:.*@)?([^?#]*).*$/is, '$1$2')

const isShowable = (value: unknown): value is string | number | boolean | readonly string[] =>
  Array.isArray(value)
    ? value.every(item => typeof item === 'string')
    : ['string', 'number', 'boolean'].includes(typeof value)

/**
 * The effective settings by name, for a log line. A secret shows as `set`, an address without user, password and query.
 */
export function shownSettings(env: Environment, config: Config): Readonly<Record<string, string>> {
  const known: Readonly<Record<string, unknown>> = { ...config }
  const shown = ([name, { hidden, mayBeEmpty, default: usual }]: [string, Setting]): string | undefined => {
    const became = known[camel(name)]
    if (hidden) return env[name] ? 'set' : undefined
    const written = (mayBeEmpty ? env[name] : env[name] || undefined) ?? usual
    return written ?? (isShowable(became) ? String(became) || undefined : undefined)
  }
  return Object.fromEntries(
    Object.entries<Setting>(SETTINGS).flatMap(row => {
      const text = shown(row)
      return text === undefined ? [] : [[row[0], withoutSecrets(text)]]
    }),
  )
}
