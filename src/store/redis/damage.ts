import type { Batches } from './batches.ts'
import type { ReportFault } from './fault-reporter.ts'
import { bodyKey, DUE_KEY, LEASED_KEY, SIZES_KEY } from './keys.ts'
import { isDamage } from './refusal.ts'
import { SCRIPTS } from './scripts.ts'
import { type Command, run } from './server.ts'

/** Numbers of keys and arguments that all log scripts share. */
const LOG_KEYS = 7
const LOG_ARGUMENTS = 5
const BYTES = 500

/** Returns the command that mends, or undefined when an operator must look. */
function mendingOf([name, ...given]: Command): Command | undefined {
  const [, count, ...rest] = given
  if (name === 'evalsha' && count === LOG_KEYS)
    return run(
      SCRIPTS.mend,
      rest.slice(0, LOG_KEYS).map(String),
      ...rest.slice(LOG_KEYS, LOG_KEYS + LOG_ARGUMENTS),
    )
  const touched = given.find(
    key =>
      key === DUE_KEY ||
      key === LEASED_KEY ||
      key === SIZES_KEY ||
      String(key).startsWith(bodyKey('', '').slice(0, -2)),
  )
  // Both indexes are rebuilt from the logs; clients learn of a lost body.
  if (touched === undefined) return undefined
  // A script that leases users uses both indexes.
  return touched === DUE_KEY || touched === LEASED_KEY ? ['del', DUE_KEY, LEASED_KEY] : ['del', touched]
}

/**
 * Mends the data behind a failed command: a key of another type under one of our names, or an unreadable entry. The
 * command itself stays failed and succeeds when it is repeated.
 */
export function mendDamage(batches: Batches, reportFault: ReportFault, command: Command, error: Error): void {
  // Prevents a loop: a failed repair is not repaired.
  const mending = isDamage(error) && command[1] !== SCRIPTS.mend.sha ? mendingOf(command) : undefined
  if (mending !== undefined) batches.run({ bytes: BYTES, build: () => [mending] }).catch(reportFault)
}
