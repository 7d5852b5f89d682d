import { readFileSync } from 'node:fs'

/** Names of the channel to a parent process, which is not that to a child. */
const CHANNEL = 'NODE_CHANNEL_'

/**
 * The environment that the process was started with, without the values that the runtime added from `.env` files:
 * a child process reads those files itself, as they are then. `now` is used where Linux does not tell.
 */
export function initialEnvironment(
  now: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  try {
    const entries = readFileSync('/proc/self/environ', 'utf8').split('\0')
    return Object.fromEntries(
      entries
        .filter(entry => entry.includes('=') && !entry.startsWith(CHANNEL))
        .map(entry => entry.split(/=(.*)/s, 2) as [string, string]),
    )
  } catch {
    return Object.fromEntries(
      Object.entries(now).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    )
  }
}
