import { ReplyError } from 'ioredis'
import { StoreAway } from '../../errors.ts'

/**
 * Errors of a Redis that answers but cannot carry out a command: no memory, no disk, no replica, no permission. `LATE`
 * and `STALE` come from our scripts. Redis 6.2 puts other words before the error code of a script.
 */
const STATE =
  /(?:^|[\s-])(?:OOM|READONLY|LOADING|MISCONF|NOREPLICAS|MASTERDOWN|BUSY|NOAUTH|NOPERM|CLUSTERDOWN|TRYAGAIN|NOSCRIPT|LATE|STALE)\b/
const FOREIGN = /\bWRONGTYPE\b/

/** Whether the stored data may be the cause: a key of another type, or an entry that a script cannot read. */
export const isDamage = ({ message }: Error): boolean =>
  FOREIGN.test(message) || (message.includes('user_script') && !STATE.test(message))

/** Whether a script refused because its time was over. It changed nothing, and Redis is only slow. */
export const isLate = (reply: unknown): reply is Error =>
  reply instanceof Error && /\bLATE\b/.test(reply.message)

/** Turns a refusal into `StoreAway`. Any other error reply is a fault of our scripts and stays as it is. */
export const refusalOf = (error: Error): Error =>
  error instanceof ReplyError && (STATE.test(error.message) || FOREIGN.test(error.message))
    ? new StoreAway(error.message, { cause: error })
    : error
