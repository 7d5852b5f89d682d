import type { Clock } from '../lib/time/clock.ts'
import { limited } from './limited.ts'
import type { Logger } from './log.ts'
import type { RequestIds } from './request-ids.ts'
import type { AuthFailure, Stats } from './stats.ts'

/** A failed authentication and its reason, which only the log shows. */
interface Refusal extends RequestIds {
  readonly kind: AuthFailure
  readonly reason: string
}

const LINES_PER_SECOND = 10

/** Counts every refusal. Lines are limited, since anyone can cause them. */
export function tellRefusals(
  logger: Logger,
  clock: Clock,
  failures: Stats['authFailures'],
): (refusal: Refusal) => void {
  const say = limited<Refusal>({
    perSecond: LINES_PER_SECOND,
    clock,
    write: fields => logger.info(fields, 'auth.refused'),
  })
  return refusal => {
    failures[refusal.kind]++
    say(refusal)
  }
}
