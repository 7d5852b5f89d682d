import type { Batches } from './batches.ts'
import { bodyKey, DUE_KEY, SIZES_KEY } from './keys.ts'
import { isForeign } from './refusal.ts'
import { report } from './report.ts'
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
 * Puts in order what a command met: a key under a name of ours that holds another kind of value. The command itself was
 * refused, and succeeds when it is tried again.
 */
export function mendForeign(batches: Batches, command: Command, error: Error): void {
  const mending = isForeign(error) ? mendingOf(command) : undefined
  if (mending !== undefined) batches.run({ bytes: BYTES, build: () => [mending] }).catch(report)
}
