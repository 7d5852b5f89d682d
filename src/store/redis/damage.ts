import type { Batches } from './batches.ts'
import { bodyKey, DUE_KEY, SIZES_KEY } from './keys.ts'
import { isDamage } from './refusal.ts'
import type { Report } from './report.ts'
import { SCRIPTS } from './scripts.ts'
import { type Command, run } from './server.ts'

/** Keys and arguments that all scripts of a log begin with. */
const LOG_KEYS = 7
const LOG_ARGUMENTS = 5
const BYTES = 500

/** What makes room where a key of another kind stands; undefined where an operator has to look. */
function mendingOf([name, ...given]: Command): Command | undefined {
  const [, count, ...rest] = given
  if (name === 'evalsha' && count === LOG_KEYS)
    return run(
      SCRIPTS.mend,
      rest.slice(0, LOG_KEYS).map(String),
      ...rest.slice(LOG_KEYS, LOG_KEYS + LOG_ARGUMENTS),
    )
  const touched = given.find(
    key => key === DUE_KEY || key === SIZES_KEY || String(key).startsWith(bodyKey('', '').slice(0, -2)),
  )
  // Both tables are made again from the logs; a body that is gone is told.
  return touched === undefined ? undefined : ['del', touched]
}

/**
 * Puts in order what a command met: another kind of value under a name of ours, or an entry that cannot be read. The command
 * itself failed, and succeeds when it is tried again.
 */
export function mendDamage(batches: Batches, report: Report, command: Command, error: Error): void {
  // A log that cannot be mended is not mended again for that.
  const mending = isDamage(error) && command[1] !== SCRIPTS.mend.sha ? mendingOf(command) : undefined
  if (mending !== undefined) batches.run({ bytes: BYTES, build: () => [mending] }).catch(report)
}
